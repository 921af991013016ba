#!/usr/bin/env bash
# Generates the TypeScript stubs in src/gen/ from ../../proto. Needs Node 20 or newer and npm; all else comes from npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# No install script runs: npm installs the buf package of this platform, and buf's install script is only a fallback.
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
npm run --silent generate
echo "generated clients/node/src/gen"

#!/usr/bin/env bash
# Generates TypeScript from ../../proto into gen/. Needs Node 20 or newer and npm; everything else comes from npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# buf's install script has nothing to do where the package of this platform is installed, so no script is run.
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
npm run --silent generate
echo "generated clients/node/gen"

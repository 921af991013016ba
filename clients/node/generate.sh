#!/usr/bin/env bash
# Generates the TypeScript stubs in src/gen/ from ../../proto. Needs Node 20 or newer and npm; all else comes from npm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# No install script runs: npm installs the buf package of this platform, and buf's install script is only a fallback.
# What is installed already is not installed again.
installed=$(cat package.json package-lock.json | cksum)
if [[ "$(cat node_modules/.installed 2>/dev/null)" != "$installed" ]]; then
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    echo "$installed" >node_modules/.installed
fi
npm run --silent generate
echo "generated clients/node/src/gen"

#!/usr/bin/env bash
# Prints the path of buf, the protobuf compiler and linter, at the version that package-lock.json pins; installs it
# from npm where it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# npm writes this file last, so it is older than the pin when the pin has moved.
if [[ ! -f node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
  # buf's install script has nothing to do where the package of this platform is installed, so no script is run.
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
fi
echo "$PWD/node_modules/.bin/buf"

#!/usr/bin/env bash
# Checks the package without tests: types, formatting, and lints.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./build.sh
npm run --silent check

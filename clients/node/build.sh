#!/usr/bin/env bash
# Generates the stubs, and compiles the package, its tests, its examples and its conformance runner into dist/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./generate.sh >/dev/null
rm -rf dist
npm run --silent build

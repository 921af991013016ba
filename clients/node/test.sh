#!/usr/bin/env bash
# Builds the package, checks its format and its lints, and tests it.
#
# Some tests need a server: set STRONGROOM_SERVER, and STRONGROOM_API_KEY to its root key. Without them these tests are
# skipped; with CI=true they fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./check.sh
node --test dist/test/*.test.js
npm pack --dry-run --ignore-scripts --loglevel=error >/dev/null

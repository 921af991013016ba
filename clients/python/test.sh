#!/usr/bin/env bash
# Installs the package as its users do, then checks and tests it. The arguments go to pytest.
#
# Some tests need a server: set STRONGROOM_SERVER, and STRONGROOM_API_KEY to its root key. Without them these tests are
# skipped; with CI=true they fail.
set -euo pipefail
cd "$(dirname "$0")"

./build.sh
./generate.sh --check
.venv/bin/ruff check --quiet
.venv/bin/ruff format --quiet --check
.venv/bin/mypy --no-error-summary
.venv/bin/python -m pytest --quiet "$@"

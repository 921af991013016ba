#!/usr/bin/env bash
# Checks and tests the package, installed as its users install it. Arguments go to pytest.
#
# Against a server too, when STRONGROOM_SERVER and STRONGROOM_API_KEY (its root key) say where one is; without them
# those tests are skipped, and fail where CI=true.
set -euo pipefail
cd "$(dirname "$0")"

# What the environment consists of: it is made anew, and the package installed again, only when this changes.
tools=$(cat pyproject.toml test.sh | cksum)
sources=$(find pyproject.toml README.md LICENSE src -type f ! -path '*__pycache__*' -print0 | sort -z | xargs -0 cat | cksum)

quietly=(--quiet --disable-pip-version-check)
if [[ "$(cat .venv/tools 2>/dev/null)" != "$tools" ]]; then
  rm -rf .venv
  "${PYTHON:-python3}" -m venv .venv
  .venv/bin/python -m pip install "${quietly[@]}" ".[test,check]"
  echo "$tools" >.venv/tools
  echo "$sources" >.venv/sources
elif [[ "$(cat .venv/sources 2>/dev/null)" != "$sources" ]]; then
  .venv/bin/python -m pip install "${quietly[@]}" --force-reinstall --no-deps .
  echo "$sources" >.venv/sources
fi

./generate.sh --check
.venv/bin/ruff check --quiet
.venv/bin/ruff format --quiet --check
.venv/bin/mypy --no-error-summary
.venv/bin/python -m pytest --quiet "$@"

#!/usr/bin/env bash
# Installs the package as its users do, into .venv, with what its checks and tests need. It does nothing where the
# environment is as the sources are.
set -euo pipefail
cd "$(dirname "$0")"

# Checksums of the tools and of the sources. The environment is rebuilt only when `tools` changes, and the package is
# reinstalled only when `sources` changes.
tools=$(cat pyproject.toml build.sh | cksum)
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

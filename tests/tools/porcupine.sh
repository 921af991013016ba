#!/usr/bin/env bash
# Prints the path of the checker of histories in tests/tools/porcupine; builds it, with porcupine from the Go module proxy,
# where it is missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

bin=${CARGO_TARGET_DIR:-$root/target}/tools/porcupine
mkdir -p "$(dirname "$bin")"
cd "$root/tests/tools/porcupine"
go build -o "$bin" . >&2
echo "$bin"

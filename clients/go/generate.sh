#!/usr/bin/env bash
# Generates the stubs in gen/ from ../../proto. With --check it fails where the committed stubs differ from the proto
# files. Needs Go 1.26 or newer, and npm for buf, which reads the protos.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

buf=$(../../tests/tools/buf.sh)
if [[ ${1:-} == --check ]]; then
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    "$buf" generate --output "$fresh"
    if ! diff -r gen "$fresh/gen" >/dev/null; then
        echo "clients/go/gen is not what the proto files give: run clients/go/generate.sh, and commit it" >&2
        exit 1
    fi
else
    "$buf" generate
    echo "generated clients/go/gen"
fi

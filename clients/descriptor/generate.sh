#!/usr/bin/env bash
# Writes strongroom.binpb, the descriptor set of ../../proto with its imports and without comments. With --check it writes
# nothing, and fails where the committed file differs from the proto files. Needs npm for buf, which reads the protos.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

buf=$("$here/../../tests/tools/buf.sh")
build() {
    (cd "$here/../.." && "$buf" build --as-file-descriptor-set --exclude-source-info --output "$1")
}
if [[ ${1:-} == --check ]]; then
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    build "$fresh/strongroom.binpb"
    if ! cmp --silent "$fresh/strongroom.binpb" "$here/strongroom.binpb"; then
        echo "clients/descriptor/strongroom.binpb is not what the proto files give: run clients/descriptor/generate.sh, and" \
            "commit it" >&2
        exit 1
    fi
else
    build "$here/strongroom.binpb"
    echo "generated clients/descriptor/strongroom.binpb"
fi

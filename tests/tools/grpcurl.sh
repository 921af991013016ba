#!/usr/bin/env bash
# Prints the path of the real grpcurl at the version below; builds it from the Go module proxy where it is missing.
set -euo pipefail

version=v1.9.4
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# The version is in the path, so what is there is the right one.
bin=${CARGO_TARGET_DIR:-$root/target}/tools/grpcurl-$version

if [[ ! -x $bin/grpcurl ]]; then
    # -s -w leave out the debugging tables, as the release builds of grpcurl do.
    GOBIN=$bin go install -ldflags='-s -w' "github.com/fullstorydev/grpcurl/cmd/grpcurl@$version" >&2
fi
echo "$bin/grpcurl"

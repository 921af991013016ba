#!/usr/bin/env bash
# Prints the path of the real grpc_health_probe at the version below; builds it from the Go module proxy where it is missing.
set -euo pipefail

version=v0.4.62
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# The version is in the path, so what is there is the right one.
bin=${CARGO_TARGET_DIR:-$root/target}/tools/grpc-health-probe-$version

if [[ ! -x $bin/grpc_health_probe ]]; then
    # -s -w leave out the debugging tables, as the release builds of grpc_health_probe do.
    GOBIN=$bin go install -ldflags='-s -w' "github.com/grpc-ecosystem/grpc-health-probe@$version" >&2
    # Go names the program after its module; the project's releases name it with underscores.
    mv "$bin/grpc-health-probe" "$bin/grpc_health_probe"
fi
echo "$bin/grpc_health_probe"

#!/usr/bin/env bash
# Builds the image from a binary, with buildah, podman or docker: the first that is installed.
#
#     deploy/container/build.sh [BINARY [IMAGE]]
#
# BINARY is target/release/strongroom, and IMAGE is strongroom:VERSION, where they are not given.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:-${CARGO_TARGET_DIR:-$here/../../target}/release/strongroom}
image=${2:-strongroom:$("$binary" --version | cut -d ' ' -f 2)}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
"$here/context.sh" "$binary" "$context"

# The format of Docker has the HEALTHCHECK, which OCI's has not.
if command -v buildah >/dev/null; then
    buildah build --format docker --tag "$image" "$context"
elif command -v podman >/dev/null; then
    podman build --format docker --tag "$image" "$context"
elif command -v docker >/dev/null; then
    docker build --file "$context/Containerfile" --tag "$image" "$context"
else
    echo "build.sh: install buildah, podman or docker" >&2
    exit 1
fi

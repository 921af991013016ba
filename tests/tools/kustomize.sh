#!/usr/bin/env bash
# Prints the command that renders a kustomization: `kubectl kustomize` or `kustomize build`. Builds kustomize, at the version
# below, from the Go module proxy where neither is installed.
set -euo pipefail

version=v5.7.1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

if command -v kubectl >/dev/null; then
    echo "kubectl kustomize"
elif command -v kustomize >/dev/null; then
    echo "kustomize build"
else
    # The version is in the path, so what is there is the right one.
    bin=${CARGO_TARGET_DIR:-$root/target}/tools/kustomize-$version
    if [[ ! -x $bin/kustomize ]]; then
        GOBIN=$bin go install -ldflags='-s -w' "sigs.k8s.io/kustomize/kustomize/v5@$version" >&2
    fi
    echo "$bin/kustomize build"
fi

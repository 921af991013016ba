#!/usr/bin/env bash
# Generates the Ruby stubs in gen/ from ../../proto. Needs protoc and grpc_ruby_plugin: on Debian, the packages
# protobuf-compiler and protobuf-compiler-grpc. Ends with status 3 where one of them is not installed.
#
#     clients/ruby/generate.sh [FOLDER]     writes to FOLDER in place of gen/
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proto=$here/../../proto
folder=${1:-$here/gen}

for tool in protoc grpc_ruby_plugin; do
    if ! command -v "$tool" >/dev/null; then
        echo "clients/ruby: $tool is not installed: on Debian, install protobuf-compiler and protobuf-compiler-grpc" >&2
        exit 3
    fi
done
rm -rf "$folder"
mkdir -p "$folder"
protoc --proto_path="$proto" --plugin=protoc-gen-grpc="$(command -v grpc_ruby_plugin)" \
    --ruby_out="$folder" --grpc_out="$folder" "$proto"/strongroom/v1/*.proto "$proto"/google/rpc/status.proto
echo "generated ${folder/#$here/clients/ruby}"

#!/usr/bin/env bash
# Generates the stubs, compiles all of them with the example, and runs it against the server of STRONGROOM_SERVER and
# STRONGROOM_API_KEY. Needs also g++, pkg-config and libgrpc++-dev.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./generate.sh
rm -rf build
mkdir build
sources=(gen/google/rpc/*.cc gen/strongroom/v1/*.cc example/quickstart.cc)
for source in "${sources[@]}"; do
    printf '%s\0%s\0' "$source" "build/$(basename "$source").o"
done | xargs -0 -n 2 -P "$(nproc)" sh -c 'g++ -std=c++17 -Igen $(pkg-config --cflags grpc++ protobuf) -c "$0" -o "$1"'
# shellcheck disable=SC2046 # the flags are words
g++ build/*.o -o build/quickstart $(pkg-config --libs grpc++ protobuf)
build/quickstart

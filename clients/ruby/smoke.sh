#!/usr/bin/env bash
# Generates the stubs, loads all of them, and runs the example against the server of STRONGROOM_SERVER and
# STRONGROOM_API_KEY. Needs also ruby and the gem grpc: on Debian, the package ruby-grpc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./generate.sh
for stubs in gen/strongroom/v1/*_pb.rb; do
    ruby -w -Igen -e 'require ARGV[0]' "./$stubs"
done
ruby -Igen example/quickstart.rb

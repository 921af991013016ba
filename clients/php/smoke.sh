#!/usr/bin/env bash
# Generates the stubs, checks the syntax of all of them, and runs the example, which packs and unpacks a message. Needs also
# php and the library google/protobuf: on Debian, the packages php-cli and php-google-protobuf.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./generate.sh
find gen -name '*.php' -print0 | xargs -0 -n 1 -P "$(nproc)" php -d display_errors=stderr -l >/dev/null
php example/messages.php

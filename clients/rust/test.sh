#!/usr/bin/env bash
# Runs the examples of the Rust client against the server that STRONGROOM_SERVER and STRONGROOM_API_KEY name:
#
#     tests/with-server.sh clients/rust/test.sh
#
# The tests of the crate itself are part of `cargo test`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

examples=${CARGO_TARGET_DIR:-target}/debug/examples
cargo build --quiet --locked --example quickstart --example cache

# says EXAMPLE LINE...: runs an example, and looks for these lines in its output.
says() {
    local example=$1 output line
    shift
    output=$("$examples/$example")
    printf '%s\n' "$output"
    for line in "$@"; do
        if ! grep --quiet --line-regexp "$line" <<<"$output"; then
            echo "clients/rust: the example $example does not print: $line" >&2
            return 1
        fi
    done
}

says quickstart 'version [0-9]* of db_password has 32 bytes' 'version [0-9]* is the current one now' \
    'db_password is in the list' 'there is no such secret: .*'
says cache 'version 1 is in memory' 'version 2 is in memory'
# Against the same server again: what is there is not an error.
says quickstart 'db_password is in the list'

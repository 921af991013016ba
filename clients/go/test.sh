#!/usr/bin/env bash
# Checks and tests the package. The arguments go to `go test`.
#
# With STRONGROOM_SERVER and STRONGROOM_API_KEY it also runs the example program against that server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./check.sh
(
    # Settings for a real server must not reach the tests.
    for variable in $(compgen -v STRONGROOM_ || true); do
        unset "$variable"
    done
    go test "$@" ./...
)
if [[ -n ${STRONGROOM_SERVER:-} ]]; then
    go run ./examples/quickstart
fi

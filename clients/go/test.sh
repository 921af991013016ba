#!/usr/bin/env bash
# Checks and tests the package: that the committed stubs are those of the proto files, formatting, lints, and the tests.
#
# With STRONGROOM_SERVER and STRONGROOM_API_KEY it also runs the example program against that server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./generate.sh --check
unformatted=$(gofmt -l $(git ls-files --cached --others --exclude-standard '*.go'))
if [[ -n $unformatted ]]; then
    echo "clients/go: not formatted, run gofmt -w: $unformatted" >&2
    exit 1
fi
go mod tidy -diff
go vet ./...
go tool -modfile=tools/go.mod staticcheck ./...
# Settings for a real server must not reach the tests.
env -u STRONGROOM_SERVER -u STRONGROOM_API_KEY -u STRONGROOM_API_KEY_FILE -u STRONGROOM_NAMESPACE -u STRONGROOM_CA_CERT \
    go test "$@" ./...
if [[ -n ${STRONGROOM_SERVER:-} ]]; then
    go run ./examples/quickstart
fi

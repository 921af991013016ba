#!/usr/bin/env bash
# Checks the package without tests: that the committed stubs are those of the proto files, formatting, and lints.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./generate.sh --check
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.go')
unformatted=$(gofmt -l "${files[@]}")
if [[ -n $unformatted ]]; then
    echo "clients/go: not formatted, run gofmt -w: $unformatted" >&2
    exit 1
fi
go mod tidy -diff
go vet ./...
go tool -modfile=tools/go.mod staticcheck ./...

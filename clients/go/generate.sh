#!/usr/bin/env bash
# Generates the Go stubs in gen/ from ../../proto. Needs Go 1.26 or newer, and npm for buf, which reads the protos.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

buf=$(../../tests/tools/buf.sh)
"$buf" generate
echo "generated clients/go/gen"

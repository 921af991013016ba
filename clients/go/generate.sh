#!/usr/bin/env bash
# Generates Go from ../../proto into gen/. Needs Go 1.26 or newer, and npm for buf, which compiles the protos.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

buf=$(../../tests/tools/buf.sh)
"$buf" generate
echo "generated clients/go/gen"

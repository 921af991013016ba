#!/usr/bin/env bash
# Generates the stubs, then compiles the smoke program and runs it against $STRONGROOM_SERVER with $STRONGROOM_API_KEY.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# This Maven run also generates the stubs, so generate.sh is not needed.
mvn --batch-mode --quiet --no-transfer-progress compile exec:java

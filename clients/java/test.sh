#!/usr/bin/env bash
# Generates, compiles and runs the smoke program against $STRONGROOM_SERVER with $STRONGROOM_API_KEY.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# One Maven run does what generate.sh does on its way.
mvn --batch-mode --quiet --no-transfer-progress compile exec:java

#!/usr/bin/env bash
# Generates the stubs, compiles all of them with the example, and runs it against the server of STRONGROOM_SERVER and
# STRONGROOM_API_KEY.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

mvn --batch-mode --quiet --no-transfer-progress compile dependency:build-classpath
java -cp "target/classes:$(<target/classpath)" QuickstartKt

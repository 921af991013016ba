#!/usr/bin/env bash
# Measures a read of the cache, and 10,000 reads with the client as a ratio to 10,000 with the bare stub, with a server in the
# same process. With --check it fails over a ratio of 1.3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

mvn --batch-mode --quiet --no-transfer-progress test-compile dependency:build-classpath
java -cp "target/test-classes:target/classes:$(<target/classpath)" strongroom.client.Bench "$@"

#!/usr/bin/env bash
# Generates the stubs, compiles the library with all lints, checks its documentation, and runs its tests.
#
# With STRONGROOM_SERVER and STRONGROOM_API_KEY it also runs the example program against that server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

(
    # Settings for a real server must not reach the tests.
    for variable in $(compgen -v STRONGROOM_ || true); do
        unset "$variable"
    done
    mvn --batch-mode --quiet --no-transfer-progress test dependency:build-classpath "$@"
)
echo "clients/java: the tests passed"
if [[ -n ${STRONGROOM_SERVER:-} ]]; then
    java -cp "target/classes:$(<target/classpath)" examples/Quickstart.java
fi

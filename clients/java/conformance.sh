#!/usr/bin/env bash
# Starts the conformance runner, which `mvn test-compile dependency:build-classpath` has built.
set -euo pipefail
target="$(dirname "${BASH_SOURCE[0]}")/target"

exec java -XX:TieredStopAtLevel=1 -cp "$target/test-classes:$target/classes:$(<"$target/classpath")" strongroom.conformance.Runner

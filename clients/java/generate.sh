#!/usr/bin/env bash
# Generates the Java stubs in target/generated-sources/ from ../../proto. Needs Java 17 or newer and Maven 3.8 or newer.
# Everything else, including protoc, comes from Maven Central.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

mvn --batch-mode --quiet --no-transfer-progress generate-sources
echo "generated clients/java/target/generated-sources"

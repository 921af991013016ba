#!/usr/bin/env bash
# Generates Java from ../../proto into target/generated-sources/. Needs Java 17 and Maven 3.8 or newer; everything else,
# protoc included, comes from Maven Central.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

mvn --batch-mode --quiet --no-transfer-progress generate-sources
echo "generated clients/java/target/generated-sources"

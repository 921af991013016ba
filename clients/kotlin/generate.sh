#!/usr/bin/env bash
# Generates the Kotlin stubs, and the Java messages that they use, in target/generated-sources/ from ../../proto. Needs Java
# 17 or newer and Maven 3.8 or newer: ends with status 3 where one of them is not installed. All else comes from Maven Central.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

for tool in javac mvn; do
    if ! command -v "$tool" >/dev/null; then
        echo "clients/kotlin: $tool is not installed: install a JDK 17 or newer, and Maven" >&2
        exit 3
    fi
done
mvn --batch-mode --quiet --no-transfer-progress generate-sources
echo "generated clients/kotlin/target/generated-sources"

#!/usr/bin/env bash
# Generates the stubs of every language from proto/, and the descriptor set.
#
#     clients/generate.sh             writes them
#     clients/generate.sh --check     writes nothing, and fails where a committed file is not what the proto files give
#
# The languages without a client of their own (C++, Ruby, PHP, Kotlin) need tools that Strongroom does not: without them they
# are skipped, and the output says so. With CI=true every missing tool is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

failed=0

main() {
    local language
    if [[ ${1:-} == --check ]]; then
        # What is committed. The builds of the others generate their stubs.
        require python python3 && python/generate.sh --check
        require go go npm && go/generate.sh --check
        require descriptor npm && descriptor/generate.sh --check
    else
        for language in python go node java descriptor; do
            "$language/generate.sh"
        done
        for language in cpp ruby php kotlin; do
            optional "$language"
        done
    fi
    return "$failed"
}

# require LANGUAGE TOOL...: whether the tools are installed; says which of them are not.
require() {
    local language=$1 tool
    shift
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { skip "$language" "$tool is not installed" && return 1; }
    done
}

# Generates one language whose tools may be missing, which its script says with status 3.
optional() {
    local status=0
    "$1/generate.sh" || status=$?
    if ((status == 3)); then
        skip "$1" "its tools are not installed"
    elif ((status != 0)); then
        failed=1
    fi
}

skip() {
    echo "clients/generate.sh: $1 SKIPPED: $2" >&2
    if [[ ${CI:-} == true ]]; then
        failed=1
    fi
}

main "$@"

#!/usr/bin/env bash
# Checks the protos: lint, formatting, and that nothing breaks clients built from main, or, on main itself, from the
# commit before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
    buf=$(tests/tools/buf.sh)

    "$buf" lint
    echo "proto: lint passed"

    "$buf" format --diff --exit-code || {
        echo "proto: not formatted; run '$buf format -w'" >&2
        exit 1
    }
    echo "proto: format passed"

    dollar_signs
    breaking
}

# The gRPC plugins for C++, Ruby and PHP of 2023 and before end at a dollar sign in a comment (grpc/grpc issue 32171).
dollar_signs() {
    if grep --line-number '[$]' proto/strongroom/v1/*.proto >&2; then
        echo "proto: a dollar sign: write its name, because older gRPC plugins cannot read it in a comment" >&2
        exit 1
    fi
}

breaking() {
    local bases
    bases=$({ base_commit || true; frozen_commit || true; } | sort -u)
    if [[ -z $bases ]]; then
        echo "proto: breaking check SKIPPED: there is no earlier commit with a proto folder to compare with"
        return
    fi

    local base
    for base in $bases; do
        # The old protos under the present buf.yaml, so that both sides are read as the same module.
        old=$(mktemp -d)
        trap 'rm -rf "$old"' EXIT
        git archive "$base" proto | tar -x -C "$old"
        cp buf.yaml "$old"
        "$buf" breaking --against "$old"
        rm -rf "$old"
        echo "proto: breaking passed against $(git log -1 --format='%h (%s)' "$base")"
    done
}

# The commit from which on the wire is compatible for ever, which tests/tools/proto-base names.
frozen_commit() {
    local base
    base=$(<tests/tools/proto-base)
    with_protos "$base"
}

# Where this work left main; on main itself with nothing changed, as in CI, the commit before. Fails where there is
# none: no git, a first commit, a clone of depth 1.
base_commit() {
    local reference base head
    head=$(git rev-parse --verify --quiet HEAD 2>/dev/null) || return 1
    for reference in origin/main main; do
        base=$(git merge-base "$reference" HEAD 2>/dev/null) || continue
        if [[ $base != "$head" || -n $(git status --porcelain -- proto) ]]; then
            with_protos "$base" && return
        fi
    done
    base=$(git rev-parse --verify --quiet 'HEAD^') || return 1
    with_protos "$base"
}

with_protos() {
    git cat-file -e "$1:proto" 2>/dev/null && echo "$1"
}

main

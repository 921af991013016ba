#!/usr/bin/env bash
# Runs every test: the Rust suites, then the documents' commands and the clients, each against a real server of its own.
# The server is the binary that the Rust suites were built with, so nothing is built twice.
#
# Goes on after a failure and sums up at the end. A step whose tools are not installed is skipped, and the summary says
# so; with CI=true it fails. The last line is `N passed, N failed, N skipped`, counting steps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

# Settings of the caller's shell for another server or binary must not reach the tests.
for variable in $(compgen -v STRONGROOM_ || true); do
    unset "$variable"
done

bold='' plain=''
if [[ -t 1 ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
    export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always} # cargo writes to a pipe
fi
passed=0 failed=0 skipped=0 table=''
log=$(mktemp)
trap 'rm -f "$log"' EXIT

main() {
    step "build" "cargo" cargo test --locked --workspace --no-run
    if [[ $outcome != PASSED ]]; then
        not_built="nothing was built"
    fi

    step "Rust suites" "cargo" cargo test --locked --workspace --no-fail-fast
    note_skipped "power losses" 'power: .* SKIPPED: \(.*\)'
    note_skipped "memory" 'SKIPPED: the search of the server.s memory, \(.*\)'
    note_skipped "etcd" 'SKIPPED: the tests over etcd, \(.*\)'
    note_skipped "PostgreSQL" 'SKIPPED: the rotation of a real PostgreSQL, \(.*\)'
    step "Documents" "go python3" tests/readme.sh
    step "Deployment" "python3" tests/deploy.sh
    note_skipped "deployment" 'deploy: SKIPPED: \(.*\)'
    step "Rust client" "cargo" tests/with-server.sh clients/rust/test.sh
    step "Python client" "python3" tests/with-server.sh clients/python/test.sh
    step "Node client" "node npm" tests/with-server.sh clients/node/test.sh
    step "Go client" "go npm" tests/with-server.sh clients/go/test.sh
    step "Java client" "javac mvn" tests/with-server.sh clients/java/test.sh
    step "Conformance" "python3 openssl" clients/conformance/run

    printf '\n%s== Summary%s\n%s' "$bold" "$plain" "$table"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    ((failed == 0))
}

# step TITLE TOOLS COMMAND...: runs one step, if its tools are installed, and notes its outcome.
not_built=
step() {
    local title=$1 tools=$2 status=0 note='' missing started=$SECONDS
    shift 2
    printf '\n%s== %s%s\n' "$bold" "$title" "$plain"

    missing=$(missing_of "$tools")
    if [[ -n $missing ]]; then
        note="not installed: $missing"
        outcome=SKIPPED
        if [[ ${CI:-} == true ]]; then
            outcome=FAILED
        fi
    elif [[ -n $not_built ]]; then
        note=$not_built
        outcome=SKIPPED
    else
        "$@" 2>&1 | tee "$log" || status=$?
        note=$(summary_of "$log")
        outcome=PASSED
        if ((status != 0)); then
            note="status $status: $note"
            outcome=FAILED
        fi
    fi

    case $outcome in
    PASSED) passed=$((passed + 1)) ;;
    FAILED) failed=$((failed + 1)) ;;
    SKIPPED) skipped=$((skipped + 1)) ;;
    esac
    printf '== %s: %s in %d s\n' "$title" "$outcome" "$((SECONDS - started))"
    table+=$(printf '  %-16s %-8s %5d s  %s' "$title" "$outcome" "$((SECONDS - started))" "$note")$'\n'
}

# summary_of LOG: one line on a step. That is the sum of cargo's `test result:` lines; without them, the runner's last line.
summary_of() {
    sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        /^test result:/ { suites++; passed += $4; failed += $6; ignored += $8 }
        NF { last = $0 }
        END {
            if (suites) printf "%d passed, %d failed, %d ignored in %d suites\n", passed, failed, ignored, suites
            else { gsub(/^[ =]+|[ =]+$/, "", last); print substr(last, 1, 100) }
        }'
}

# note_skipped TITLE PATTERN: counts as skipped what the Rust suites could not try here. PATTERN picks the reason from
# their log.
note_skipped() {
    local reason
    reason=$(sed -n "s/.*$2.*/\1/p" "$log" | head -n 1)
    if [[ -n $reason ]]; then
        skipped=$((skipped + 1))
        table+=$(printf '  %-16s %-8s %5s    %s' "$1" SKIPPED '' "$reason")$'\n'
    fi
}

# missing_of "TOOL...": the tools that are not on the PATH.
missing_of() {
    local tool missing=
    for tool in $1; do
        command -v "$tool" >/dev/null || missing+=${missing:+, }$tool
    done
    echo "$missing"
}

main

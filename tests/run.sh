#!/usr/bin/env bash
# Runs every test: the Rust suites, then the documents' commands and the clients, each against a real server of its own.
# Goes on after a failure and sums up at the end. A step whose toolchain is not installed is skipped, loudly; with
# CI=true it fails. The last line is `N passed, N failed, N skipped`, counting steps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

# What the caller's shell says about another server or binary must not reach the tests.
for variable in $(compgen -v STRONGROOM_ || true); do
    unset "$variable"
done

bold='' plain=''
if [[ -t 1 ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi
passed=0 failed=0 skipped=0 table=''

main() {
    step "Rust suites" "cargo" rust_suites
    note_skipped "power losses" 'power: .* SKIPPED: \(.*\)'
    note_skipped "memory" 'SKIPPED: the search of the server.s memory, \(.*\)'
    note_skipped "etcd" 'SKIPPED: the tests over etcd, \(.*\)'
    step "server binary" "cargo" cargo build --locked
    if [[ $outcome != PASSED ]]; then
        no_server="there is no server binary to run it against"
    fi

    step "Documents" "go python3" tests/readme.sh
    step "Python client" "python3" tests/with-server.sh clients/python/test.sh
    step "Node client" "node npm" tests/with-server.sh clients/node/test.sh
    step "Go client" "go npm" tests/with-server.sh clients/go/test.sh
    step "Java client" "javac mvn" tests/with-server.sh clients/java/test.sh

    printf '\n%s== Summary%s\n%s' "$bold" "$plain" "$table"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    ((failed == 0))
}

rust_log=$(mktemp)
trap 'rm -f "$rust_log"' EXIT
rust_suites() {
    local color=never
    if [[ -t 1 ]]; then
        color=always # which cargo would not know behind a pipe
    fi
    CARGO_TERM_COLOR=$color cargo test --locked 2>&1 | tee "$rust_log"
}

# note_skipped TITLE PATTERN: sums up what the Rust suites could not try here, with the reason that the pattern picks.
note_skipped() {
    local reason
    reason=$(sed -n "s/.*$2.*/\1/p" "$rust_log" | head -n 1)
    if [[ -n $reason ]]; then
        skipped=$((skipped + 1))
        table+=$(printf '  %-16s %-8s %5s    %s' "$1" SKIPPED '' "$reason")$'\n'
    fi
}

# step TITLE TOOLS COMMAND...: runs one step, if its tools are installed, and notes how it went.
no_server=
step() {
    local title=$1 tools=$2 status=0 reason='' missing started=$SECONDS
    shift 2
    printf '\n%s== %s%s\n' "$bold" "$title" "$plain"

    missing=$(missing_of "$tools")
    if [[ -n $missing ]]; then
        reason="not installed: $missing"
        outcome=SKIPPED
        if [[ ${CI:-} == true ]]; then
            outcome=FAILED
        fi
    elif [[ -n $no_server ]]; then
        reason=$no_server
        outcome=SKIPPED
    else
        "$@" || status=$?
        outcome=PASSED
        if ((status != 0)); then
            reason="status $status"
            outcome=FAILED
        fi
    fi

    case $outcome in
    PASSED) passed=$((passed + 1)) ;;
    FAILED) failed=$((failed + 1)) ;;
    SKIPPED) skipped=$((skipped + 1)) ;;
    esac
    printf '== %s: %s in %d s%s\n' "$title" "$outcome" "$((SECONDS - started))" "${reason:+ ($reason)}"
    table+=$(printf '  %-16s %-8s %5d s  %s' "$title" "$outcome" "$((SECONDS - started))" "$reason")$'\n'
}

# missing_of "TOOL...": those that are not on the PATH.
missing_of() {
    local tool missing=
    for tool in $1; do
        command -v "$tool" >/dev/null || missing+=${missing:+, }$tool
    done
    echo "$missing"
}

main

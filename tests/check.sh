#!/usr/bin/env bash
# Checks everything that needs no running server: formatting, lints, dependencies, and the protos. Ends at the first
# failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bold='' plain=''
if [[ -t 1 ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi

main() {
    step "formatting" formatting
    step "lints" cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
    step "lints without etcd" cargo clippy --locked --workspace --all-targets --no-default-features -- -D warnings
    step "dependencies" dependencies
    step "protos" tests/proto-lint.sh
    step "generated files" clients/generate.sh --check
    step "Go client" go_client
    step "alerts" alerts
    step "Node client" clients/node/check.sh
    echo "check passed"
}

formatting() {
    cargo fmt --all --check
    # The fuzz targets are a workspace of their own.
    rustfmt --check --edition 2024 fuzz/fuzz_targets/*.rs
}

# Licences, banned crates and sources, as .cargo/deny.toml says; then dependencies that no code uses, as Cargo.toml says.
dependencies() {
    local deny shear
    deny=$(tests/tools/cargo.sh cargo-deny)
    shear=$(tests/tools/cargo.sh cargo-shear)
    "$deny" --locked --workspace check licenses bans sources
    "$shear" --locked --deny-warnings
}

# Go is not needed to work on the server, so without it this is left to a machine that has it.
go_client() {
    if command -v go >/dev/null; then
        clients/go/check.sh
    elif [[ ${CI:-} == true ]]; then
        echo "check: go is not installed" >&2
        return 1
    else
        echo "skipped: go is not installed"
    fi
}

# The alert rules and the expressions of the dashboard, where promtool is installed or Debian's package can be fetched.
alerts() {
    local promtool rules
    if promtool=$(tests/tools/promtool.sh); then
        "$promtool" check rules deploy/prometheus/alerts.yml
        rules=$(mktemp)
        dashboard_rules >"$rules"
        "$promtool" check rules "$rules"
        rm "$rules"
    elif [[ ${CI:-} == true ]]; then
        echo "alerts: promtool is not installed, and cannot be fetched" >&2
        return 1
    else
        echo "alerts: check SKIPPED: promtool is not installed, and cannot be fetched" >&2
    fi
}

# The expressions of the dashboard as rules, with values in place of Grafana's variables.
dashboard_rules() {
    printf 'groups:\n  - name: dashboard\n    rules:\n'
    grep -o '"expr": ".*"' deploy/grafana/dashboard.json | sed 's/^"expr": //' | sort -u | awk '{
        gsub(/\$__rate_interval/, "5m")
        gsub(/\$instance/, ".*")
        printf "      - record: dashboard:%d\n        expr: %s\n", NR, $0
    }'
}

# step TITLE COMMAND...: runs one step, and says how long it took.
step() {
    local title=$1 started=$SECONDS
    shift
    printf '\n%s== %s%s\n' "$bold" "$title" "$plain"
    "$@"
    printf '== %s: passed in %d s\n' "$title" "$((SECONDS - started))"
}

main

#!/usr/bin/env bash
# Checks the files in deploy/ with the binary that the other tests use, $STRONGROOM_BIN, or else that of the last
# `cargo build`: the settings, the systemd unit, the manifests of Kubernetes and the compose file, the Debian package and the
# image. Each of them starts or asks the real server.
#
# Goes on after a failure. A check whose tools are not installed is skipped, and says so; with CI=true it fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

binary=${STRONGROOM_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/strongroom}
for variable in $(compgen -v STRONGROOM_ || true); do
    unset "$variable"
done
checked=0 failed=() skipped=()

main() {
    if [[ ! -x $binary ]]; then
        echo "deploy: there is no $binary; run 'cargo build', or set STRONGROOM_BIN" >&2
        exit 1
    fi
    binary=$(realpath "$binary")

    check "settings" "python3" python3 tests/deploy/settings.py "$binary"
    check "manifests" "python3 go" manifests
    check "system calls" "python3 strace systemd-analyze" python3 tests/deploy/system_calls.py "$binary"
    check "package" "python3 cargo dpkg dpkg-deb strip objdump systemd-analyze systemd-sysusers $([[ $(id -u) == 0 ]] || echo fakeroot)" \
        tests/deploy/package.sh "$binary"
    if [[ $(id -u) == 0 ]]; then
        check "image" "apt-get unshare strip" tests/deploy/image.sh "$binary"
    else
        skip "image" "a container needs root"
    fi

    echo "deploy: $checked checked, ${#failed[@]} failed${failed[*]:+ (${failed[*]})}, ${#skipped[@]} skipped${skipped[*]:+ (${skipped[*]})}"
    ((${#failed[@]} == 0))
}

# Renders and validates the manifests and the compose file, offline.
manifests() (
    set -e
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    python=$(tests/tools/deploy.sh)
    render=$(tests/tools/kustomize.sh)
    $render deploy/kubernetes/monitoring >"$work/rendered.yaml"
    (cd tests/tools/compose && go run . ../../../deploy/compose/compose.yaml) >"$work/compose.json"
    "$python" tests/deploy/manifests.py "$binary" "$work/rendered.yaml" "$work/compose.json"
)

# check NAME TOOLS COMMAND...: runs one check, if its tools are installed.
check() {
    local name=$1 tool missing='' started=$SECONDS status=0
    for tool in $2; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || missing+=${missing:+, }$tool
    done
    shift 2
    if [[ -n $missing ]]; then
        skip "$name" "not installed: $missing"
        return
    fi
    # A function that `||` follows runs without `set -e`, so each check is a process of its own.
    "$@" &
    wait $! || status=$?
    checked=$((checked + 1))
    if ((status != 0)); then
        failed+=("$name")
        echo "deploy: $name FAILED in $((SECONDS - started)) s" >&2
    else
        echo "deploy: $name passed in $((SECONDS - started)) s"
    fi
}

skip() {
    if [[ ${CI:-} == true ]]; then
        failed+=("$1")
        echo "deploy: $1 FAILED: $2" >&2
    else
        skipped+=("$1")
        echo "deploy: SKIPPED: $1 ($2)"
    fi
}

main

#!/usr/bin/env bash
# Starts a real server on a free port with an empty data folder, and runs a command against it:
#
#     tests/with-server.sh COMMAND [ARGUMENT...]
#
# The command finds the server in STRONGROOM_SERVER, STRONGROOM_API_KEY and STRONGROOM_API_KEY_FILE. The binary is
# $STRONGROOM_BIN, or else that of the last `cargo build`. Returns the command's status, or 1 where the server fails.
set -euo pipefail

# Bounds for a server that hangs, in seconds; a healthy one needs a fraction of them.
start_within=60
stop_within=30

main() {
    if (($# == 0)); then
        echo "usage: $0 COMMAND [ARGUMENT...]" >&2
        exit 2
    fi
    local root binary
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    binary=${STRONGROOM_BIN:-${CARGO_TARGET_DIR:-$root/target}/debug/strongroom}
    if [[ ! -x $binary ]]; then
        echo "with-server: there is no $binary; run 'cargo build', or set STRONGROOM_BIN" >&2
        exit 1
    fi

    # What the caller's shell says about another server must reach neither this one nor the command.
    local variable
    for variable in $(compgen -v STRONGROOM_ || true); do
        unset "$variable"
    done

    server=
    work=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    start "$binary"
    local status=0
    "$@" 4<&- || status=$?
    stop || status=1

    if ((status != 0)); then
        show_log
    fi
    return "$status"
}

start() {
    mkfifo "$work/stdout"
    "$1" serve --listen 127.0.0.1:0 --data-dir "$work/data" >"$work/stdout" 2>"$work/stderr.log" &
    server=$!
    exec 3<"$work/stdout"

    # Ends with the line that says ready, with the server's exit (end of file), or with the bound (a status over 128).
    local line address='' status=0
    while IFS= read -r -t "$start_within" line <&3 || { status=$? && false; }; do
        if [[ $line =~ ready\ on\ https?://([^[:space:]/]+) ]]; then
            address=${BASH_REMATCH[1]}
            break
        fi
    done
    if ((status > 128)); then
        echo "with-server: the server did not say that it is ready within $start_within s" >&2
        show_log
        exit 1
    elif ((status != 0)); then
        status=0
        wait "$server" || status=$?
        server=
        echo "with-server: the server ended with status $status before it was ready" >&2
        show_log
        exit 1
    fi

    # Whatever else it prints is read, so that it never blocks on a full pipe. File descriptor 4 says when the server's
    # output has ended, which is when the server is gone.
    exec 4< <(cat <&3 >"$work/stdout.log" && echo ended)
    exec 3<&-

    export STRONGROOM_BIN=$1 STRONGROOM_SERVER=$address STRONGROOM_API_KEY_FILE=$work/data/root.key
    STRONGROOM_API_KEY=$(<"$STRONGROOM_API_KEY_FILE")
    export STRONGROOM_API_KEY
}

stop() {
    kill -TERM "$server" 2>/dev/null || true
    local status=0
    if ! read -r -t "$stop_within" <&4; then
        echo "with-server: the server did not end within ${stop_within} s of SIGTERM" >&2
        return 1
    fi
    wait "$server" || status=$?
    server=
    if ((status != 0)); then
        echo "with-server: the server ended with status $status" >&2
        return 1
    fi
}

show_log() {
    echo "--- the server's log, its last lines:" >&2
    tail -n 40 "$work/stderr.log" >&2 || true
    echo "---" >&2
}

clean_up() {
    if [[ -n $server ]]; then
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}

main "$@"

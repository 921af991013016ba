#!/usr/bin/env bash
# Measures what a number of secrets takes: memory of the server after a start, disk, the size of a backup, and the time of a
# start, over the durable store.
#
#     make bench-size
#
# STRONGROOM_BENCH_COUNTS are the numbers of secrets ("10000 50000 100000" by default), each with one version of 64 bytes, a
# name of about 30 characters, and a metadata pair. STRONGROOM_BIN is the binary (by default the release build). The folder
# is below cargo's target folder, or below STRONGROOM_BENCH_DIR. No result counts as a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
strongroom=${STRONGROOM_BIN:-$target/release/strongroom}
read -ra counts <<<"${STRONGROOM_BENCH_COUNTS:-10000 50000 100000}"
folder=$(mktemp -d -p "${STRONGROOM_BENCH_DIR:-$target}")
for variable in $(compgen -v STRONGROOM_ || true); do
    unset "$variable"
done
server=
trap 'if [[ -n $server ]]; then kill "$server" && wait "$server" || true; fi; rm -rf "$folder"' EXIT

main() {
    mkfifo "$folder/said"
    local from=0 count begun ended
    printf '%10s %12s %12s %12s %10s\n' secrets memory 'data folder' backup start
    start
    for count in 0 "${counts[@]}"; do
        if ((count > from)); then
            make_secrets "$from" "$count"
            "$strongroom" import "$folder/secrets.json" >/dev/null 2>&1
        fi
        stop
        begun=$(date +%s%N)
        start
        ended=$(date +%s%N)
        "$strongroom" backup --overwrite "$folder/backup" >/dev/null 2>&1
        stop
        start
        printf '%10d %8d MiB %8d MiB %8d MiB %8.2f s\n' "$count" \
            $(($(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$server/status") / 1024)) \
            "$(du -sm --exclude=audit "$folder/data" | cut -f 1)" "$(du -sm "$folder/backup" | cut -f 1)" \
            "$(awk -v took=$((ended - begun)) 'BEGIN { print took / 1e9 }')"
        from=$count
    done
}

start() {
    "$strongroom" serve --listen 127.0.0.1:0 --data-dir "$folder/data" --log-level error >"$folder/said" 2>/dev/null &
    server=$!
    exec 3<"$folder/said"
    local line
    read -r line <&3
    export STRONGROOM_SERVER=${line#strongroom is ready on } STRONGROOM_API_KEY_FILE=$folder/data/root.key
}

stop() {
    kill "$server"
    wait "$server"
    server=
    exec 3<&-
}

# make_secrets FROM TO: a file for `strongroom import`.
make_secrets() {
    awk -v from="$1" -v to="$2" 'BEGIN {
        printf "["
        for (n = from; n < to; n++)
            printf "%s{\"name\": \"service_%d_database_password\", \"value\": \"%064d\", \"metadata\": {\"owner\": \"team_%d\"}}", (n > from) ? "," : "", n, n, n % 100
        print "]"
    }' >"$folder/secrets.json"
}

echo "size: in $folder"
main

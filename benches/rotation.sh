#!/usr/bin/env bash
# Measures how long it takes to rekey: the master key, and the key of a namespace with many secrets, over the durable store.
#
#     make bench-rotation
#
# STRONGROOM_BENCH_SECRETS is the number of secrets (100,000 by default). STRONGROOM_BENCH_DIR chooses the disk (by default
# that of cargo's target folder), which must be a real one. The time is that of the whole command. No result counts as a
# failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
strongroom=$target/release/strongroom
secrets=${STRONGROOM_BENCH_SECRETS:-100000}
rounds=3

for variable in $(compgen -v STRONGROOM_ || true); do
    [[ $variable == STRONGROOM_BENCH_DIR ]] || unset "$variable"
done
folder=$(mktemp -d -p "${STRONGROOM_BENCH_DIR:-$target}")
server=
trap 'if [[ -n $server ]]; then kill "$server" && wait "$server" || true; fi; rm -rf "$folder"' EXIT

main() {
    mkfifo "$folder/said"
    "$strongroom" serve --listen 127.0.0.1:0 --data-dir "$folder/data" --log-level error >"$folder/said" 2>/dev/null &
    server=$!
    exec 3<"$folder/said"
    read -r line <&3
    export STRONGROOM_SERVER=${line#strongroom is ready on } STRONGROOM_API_KEY_FILE=$folder/data/root.key

    # Each secret has one version of 64 bytes. So it has three records: the secret's, its name's and its version's.
    awk -v count="$secrets" 'BEGIN {
        printf "{"
        for (n = 0; n < count; n++) printf "%s\"service_%d_database_password\": \"%064d\"", n ? "," : "", n, n
        print "}"
    }' >"$folder/secrets.json"
    measure "create them" "$strongroom" import "$folder/secrets.json"
    local round
    for ((round = 1; round <= rounds; round++)); do
        measure "namespace-key rotate default" "$strongroom" namespace-key rotate default
        measure "master-key rotate" "$strongroom" master-key rotate
    done
}

# measure TITLE COMMAND...: runs the command, and prints the time it took and the number of records it has seen.
measure() {
    local what=$1 begun ended
    shift
    begun=$(date +%s%N)
    "$@" >"$folder/output" 2>/dev/null
    ended=$(date +%s%N)
    awk -v what="$what" -v took=$((ended - begun)) '
        /"seen_records"/ { gsub(/[^0-9]/, ""); records = $0 }
        END { printf "%-30s %8.2f s%s\n", what, took / 1e9, records == "" ? "" : sprintf("   %d records", records) }
    ' "$folder/output"
}

echo "rotation: $secrets secrets in one namespace, in $folder"
main

#!/usr/bin/env bash
# Fuzzes each target for a number of seconds; ends at the first crash, and says where its input is.
#
#     fuzz/run.sh [SECONDS [TARGET...]]
#
# The corpus is kept in fuzz/corpus, which git ignores, so a later run goes on from an earlier one. It begins with the
# golden vectors. No nightly toolchain is needed: that is for the address sanitizer, and this crate has no unsafe code.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

seconds=${1:-60}
targets=("${@:2}")
if ((${#targets[@]} == 0)); then
    for file in fuzz/fuzz_targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi

main() {
    local fuzz target
    fuzz=$(tests/tools/cargo.sh cargo-fuzz)
    # The versions that the service is built with.
    if [[ ! fuzz/Cargo.lock -nt Cargo.lock ]]; then
        cp Cargo.lock fuzz/Cargo.lock
    fi
    for target in "${targets[@]}"; do
        "$fuzz" build --sanitizer none "$target"
    done
    for target in "${targets[@]}"; do
        printf '\n== %s, for %d s\n' "$target" "$seconds"
        plant_seeds "fuzz/corpus/$target"
        local options=(-max_total_time="$seconds" -timeout=10 -print_final_stats=1)
        if [[ -f fuzz/fuzz_targets/$target.dict ]]; then
            options+=(-dict="fuzz/fuzz_targets/$target.dict")
        fi
        "$fuzz" run --sanitizer none "$target" -- "${options[@]}"
    done
    printf '\nfuzz: no crash in %d targets of %d s each\n' "${#targets[@]}" "$seconds"
}

# plant_seeds FOLDER: puts the hexadecimal strings of the golden vectors there as files of bytes.
plant_seeds() {
    local hex number=0
    mkdir -p "$1"
    while read -r hex; do
        number=$((number + 1))
        printf '%b' "$hex" >"$1/vector-$number"
    done < <(grep -oE '"([0-9a-f]{2})+"' tests/golden/vectors.json | tr -d '"' | sed 's/../\\x&/g')
}

main

#!/usr/bin/env bash
# Shows where the time of a Get goes: the functions of the server that have the processor, and their sums by crate.
#
#     make profile
#
# STRONGROOM_PROFILE is the contender of benches/reads that is profiled: `get` by default. The result is target/profile.txt, and
# target/profile.data for `perf report`. It needs perf (Debian's linux-perf), and the right to use it: root, or
# `sysctl kernel.perf_event_paranoid=1`. CONTRIBUTING.md says how to read it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
contender=${STRONGROOM_PROFILE:-get}
command -v perf >/dev/null || {
    echo "make profile needs perf: apt-get install linux-perf" >&2
    exit 1
}

STRONGROOM_BENCH_PERF=$PWD/$target/profile.data cargo bench --locked --bench reads -- "=$contender"

# Each sample as its function alone: without inlined frames, which perf takes minutes for.
perf report --input "$target/profile.data" --stdio --no-children --no-inline --call-graph none --sort symbol 2>/dev/null |
    sed -n 's/ *- *- *$//; s/^ *\([0-9.]*\)% *\(.*\)$/\1 \2/p' >"$target/profile.functions"
{
    echo "By crate, in percent of the server's processor time:"
    awk '
        /\[k\]/ { sum["kernel"] += $1; next }
        {
            name = $0
            sub(/^[0-9.]+ +\[[^]]*\] +/, "", name)
            if (name ~ /malloc|calloc|^_int_free|cfree|unlink_chunk|strongroom_allocator|__rust_|__rdl_|__rustc/) owner = "allocation"
            else if (name ~ /mem(cpy|move|set|cmp)/) owner = "memcpy and memset"
            else if (name ~ /vdso|pthread|^syscall|^(clock_gettime|write|writev|recv|send|epoll)/) owner = "libc"
            else if (name ~ /^(ring_core|aes_|gcm_|sha256|sha512|bn_|ChaCha|gcm|OPENSSL|vpaes|ghash)/) owner = "ring"
            else {
                owner = name
                gsub(/[<&*(\[]|dyn |mut |impl /, "", owner)
                sub(/::.*/, "", owner)
                if (owner == "strongroom" && match(name, /strongroom::[a-z_]+(::[a-z_]+)?/)) owner = substr(name, RSTART, RLENGTH)
            }
            sum[owner] += $1
        }
        END { for (owner in sum) printf "%6.2f  %s\n", sum[owner], owner }
    ' "$target/profile.functions" | sort -rn | head -40
    echo
    echo "By function:"
    sort -rn "$target/profile.functions" | head -80
} | tee "$target/profile.txt"

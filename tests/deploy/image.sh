#!/usr/bin/env bash
# Builds the image from a binary with buildah, and runs it as a container does: with the image's user, a read-only root file
# system, and nothing from this machine but the network.
#
#     tests/deploy/image.sh BINARY
#
# Needs root, for the container. buildah is that on the PATH, else Debian's.
set -euo pipefail

binary=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
server= mounted= container=
trap clean_up EXIT

main() {
    find_buildah
    mkdir -p "$work/bin"
    # build.sh finds it by its name, as it finds an installed one.
    cat >"$work/bin/buildah" <<END
#!/bin/sh
command=\$1
shift
LD_LIBRARY_PATH='$libraries' BUILDAH_ISOLATION=chroot exec '$buildah' --root '$work/storage' --runroot '$work/run' \\
    --storage-driver vfs "\$command" --signature-policy '$work/policy.json' "\$@"
END
    chmod +x "$work/bin/buildah"
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
    PATH=$work/bin:$PATH deploy/container/build.sh "$binary" strongroom:test >"$work/build.log" 2>&1 ||
        fail "the image cannot be built: $(cat "$work/build.log")"

    container=$(storage from --signature-policy "$work/policy.json" strongroom:test)
    mounted=$(storage mount "$container")
    local programs
    programs=$(find "$mounted" -xdev -type f -perm /111 -not -name '*.so*' -printf '/%P\n')
    [[ $programs == /usr/bin/strongroom ]] || fail "the image has other programs than the server: $programs"
    storage inspect --type image --format '{{.Docker.Config.User}} {{.Docker.Config.Healthcheck.Test}}' strongroom:test >"$work/about"
    [[ $(<"$work/about") == "65532:65532 [CMD /usr/bin/strongroom status]" ]] || fail "the image's settings are $(<"$work/about")"

    start
    # The health check of the image, in the container.
    (inside "/usr/bin/strongroom --server $address status") >"$work/status" || fail "the health check fails: $(cat "$work/status")"
    grep -q '"serving": *true' "$work/status" || fail "the health check says $(cat "$work/status")"
    stop
    echo "image: built from scratch, it serves as the user 65532 with a read-only root; $(du -sh "$mounted" | cut -f 1) with this binary"
}

find_buildah() {
    libraries=
    if ! buildah=$(command -v buildah); then
        local root
        root=$(tests/tools/debian.sh buildah)
        buildah=$root/usr/bin/buildah
        libraries=$(echo "$root"/usr/lib/*-linux-gnu)
    fi
}

storage() {
    LD_LIBRARY_PATH=$libraries "$buildah" --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

# inside COMMAND: becomes this command in the image, as its user, in a mount namespace of its own. Call it in a subshell.
inside() {
    exec unshare --mount --propagation private sh -ec '
        mount --bind "$0" "$0"
        mount -o remount,bind,ro,nosuid,nodev "$0"
        mount --bind "$1" "$0/var/lib/strongroom"
        exec chroot --userspec=65532:65532 --groups= "$0" $2' "$mounted" "$work/volume" "$1"
}

start() {
    local line
    install -d -m 700 -o 65532 -g 65532 "$work/volume"
    # As Kubernetes hands over a secret: the file of root, which the group of the pod may read.
    "$binary" master-key generate --out "$work/master.key" 2>/dev/null
    install -m 440 -o 0 -g 65532 "$work/master.key" "$work/volume"
    mkfifo "$work/said"
    inside "/usr/bin/strongroom serve --data-dir /var/lib/strongroom/data --listen 127.0.0.1:0 \
        --master-key-file /var/lib/strongroom/master.key" >"$work/said" 2>"$work/server.log" &
    server=$!
    exec 3<"$work/said"
    address=
    while IFS= read -r -t 60 line <&3; do
        if [[ $line =~ ready\ on\ http://(.*) ]]; then
            address=${BASH_REMATCH[1]}
            break
        fi
    done
    [[ -n $address ]] || fail "the server in the image does not serve: $(cat "$work/server.log")"
}

stop() {
    kill -TERM "$server"
    wait "$server" || fail "the server ended with a failure: $(cat "$work/server.log")"
    server=
    exec 3<&-
}

fail() {
    echo "image: $*" >&2
    exit 1
}

clean_up() {
    if [[ -n $server ]]; then
        kill -KILL "$server" 2>/dev/null || true
    fi
    if [[ -n $container ]]; then
        storage umount "$container" >/dev/null || true
    fi
    rm -rf "$work"
}

main

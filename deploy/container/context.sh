#!/usr/bin/env bash
# Prepares the context of the Containerfile from a binary: the folder `root` with the binary, the libraries that it needs,
# and the system's certificate authorities, and the empty folder `data`.
#
#     deploy/container/context.sh BINARY FOLDER
#
# The libraries are those of this machine. Build the image again when they get security updates.
set -euo pipefail

binary=$1 folder=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$folder/root

mkdir -p "$root"/{etc/ssl/certs,usr/bin,tmp,var/lib} "$folder/data"
chmod 1777 "$root/tmp"
cp "$here/Containerfile" "$folder"
install -m 755 "$binary" "$root/usr/bin/strongroom"
strip --strip-unneeded "$root/usr/bin/strongroom"

# `ldd` prints `NAME => PATH (ADDRESS)`, and `PATH (ADDRESS)` for the loader. A static binary has neither.
ldd "$binary" | sed -n 's|^.*[[:space:]]\(/[^ ]*\) (0x.*$|\1|p' | while read -r library; do
    install -D -m 755 "$library" "$root$library"
done

cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'root:x:0:0:root:/:/sbin/nologin\nstrongroom:x:65532:65532:strongroom:/var/lib/strongroom:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nstrongroom:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

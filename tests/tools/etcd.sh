#!/usr/bin/env bash
# Prints the path of etcd: the one on the PATH, else Debian's, unpacked into an ignored folder. Nothing is installed, and
# no service is started.
set -euo pipefail

if command -v etcd; then
    exit
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$here/etcd
bin=$folder/usr/bin/etcd

# Tests that start at the same time wait until the first one has fetched it.
exec 9>"$here/.etcd.lock"
flock 9
if [[ ! -x $bin ]]; then
    fresh=$(mktemp -d "$here/etcd.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    cd "$fresh"
    {
        apt-get download etcd-server || { [[ $(id -u) = 0 ]] && apt-get update && apt-get download etcd-server; }
        dpkg -x etcd-server_*.deb unpacked
    } >&2
    rm -rf "$folder"
    mv unpacked "$folder"
fi
echo "$bin"

#!/usr/bin/env bash
# Prints the path of promtool: the one on the PATH, else Debian's, unpacked into an ignored folder. Nothing is installed.
set -euo pipefail

if command -v promtool; then
    exit
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$here/promtool
bin=$folder/usr/bin/promtool
if [[ ! -x $bin ]]; then
    fresh=$(mktemp -d "$here/promtool.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    cd "$fresh"
    {
        apt-get download prometheus ||
            { [[ $(id -u) = 0 ]] && apt-get update && apt-get download prometheus; }
        # The package has the server too, of which nothing is needed.
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
        rm prometheus_*.deb
        usr/bin/promtool --version
    } >&2
    rm -rf "$folder"
    mv "$fresh" "$folder"
fi
echo "$bin"

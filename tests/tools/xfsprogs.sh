#!/usr/bin/env bash
# Prints the path of mkfs.xfs: the one on the PATH, else Debian's, unpacked into an ignored folder with the libraries it
# needs. Nothing is installed.
set -euo pipefail

# An installed mkfs.xfs may not be on the PATH of users other than root.
if PATH=$PATH:/usr/sbin:/sbin command -v mkfs.xfs; then
    exit
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$here/xfsprogs
bin=$folder/mkfs.xfs

# Tests that start at the same time wait until the first one has fetched it.
exec 9>"$here/.xfsprogs.lock"
flock 9
if [[ ! -x $bin ]]; then
    fresh=$(mktemp -d "$here/xfsprogs.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    cd "$fresh"
    packages=(xfsprogs libinih1 liburcu8)
    {
        apt-get download "${packages[@]}" ||
            { [[ $(id -u) = 0 ]] && apt-get update && apt-get download "${packages[@]}"; }
        for package in *.deb; do
            dpkg -x "$package" unpacked
        done
    } >&2
    cat >unpacked/mkfs.xfs <<'EOF'
#!/usr/bin/env bash
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libraries=$(dirname "$(find "$here/usr/lib" "$here/lib" -name 'libinih.so.*' -print -quit)")
LD_LIBRARY_PATH=$libraries exec "$(find "$here" -path '*sbin/mkfs.xfs' -print -quit)" "$@"
EOF
    chmod +x unpacked/mkfs.xfs
    unpacked/mkfs.xfs -V >&2
    rm -rf "$folder"
    mv unpacked "$folder"
fi
echo "$bin"

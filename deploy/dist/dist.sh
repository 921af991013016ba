#!/usr/bin/env bash
# Makes the files of a release from a binary: a tarball, a Debian package, a software bill of materials, and the checksums
# of all of them. `make dist` runs it with the release build.
#
#     deploy/dist/dist.sh BINARY FOLDER
#
# The binary itself makes the manual pages and the completions, so it must run on this machine. The same binary and the same
# commit give the same files.
set -euo pipefail

binary=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

main() {
    version=$("$binary" --version | cut -d ' ' -f 2)
    machine=$(uname -m)
    export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    umask 022

    rm -f "$folder"/strongroom[-_]*.{tar.gz,deb,cdx.json} "$folder/SHA256SUMS"
    furnish "$work/files"
    tarball
    "$here/debian.sh" "$work/files" "$version" "$folder"
    python3 "$here/sbom.py" "$folder/strongroom-$version-$machine-linux.cdx.json"
    (cd "$folder" && sha256sum -- strongroom[-_]* >SHA256SUMS)
    echo "dist: $folder has $(cut -c 67- "$folder/SHA256SUMS" | paste -sd ' ') and SHA256SUMS"
}

# furnish FOLDER: what both packages hold.
furnish() {
    local files=$1
    mkdir -p "$files"/{man,completions}
    install -m 755 "$binary" "$files/strongroom"
    strip --strip-unneeded "$files/strongroom"
    "$binary" man-pages "$files/man"
    local shell
    for shell in bash zsh fish; do
        "$binary" completions "$shell" >"$files/completions/strongroom.$shell"
    done
    cp "$root"/{LICENSE,README.md,CHANGELOG.md,SECURITY.md} "$files"
    cp "$root/deploy/strongroom.toml" "$files"
    cp "$root"/deploy/systemd/strongroom.{service,sysusers} "$files"
}

tarball() {
    local name=strongroom-$version-$machine-linux
    cp -r "$work/files" "$work/$name"
    tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --directory "$work" "$name" |
        gzip --no-name >"$folder/$name.tar.gz"
}

main

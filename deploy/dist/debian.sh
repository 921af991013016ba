#!/usr/bin/env bash
# Makes the Debian package from the files that dist.sh has gathered.
#
#     deploy/dist/debian.sh FILES VERSION FOLDER
#
# It installs the program, the unit, the user and the settings, and starts nothing: the first start makes the keys, and who
# installs decides before that where the master key is. It never removes data or keys, not even when it is purged.
# DEBIAN_REVISION (1) is the last part of the package's version, and XZ_LEVEL (6) how hard it is compressed.
set -euo pipefail

files=$1 version=$2 folder=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
revision=${DEBIAN_REVISION:-1}
architecture=$(dpkg --print-architecture)

main() {
    package=$(mktemp -d)
    trap 'rm -rf "$package"' EXIT
    chmod 755 "$package" # mktemp's folder is its owner's alone

    place
    document
    control
    find "$package" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz -z"${XZ_LEVEL:-6}" --build "$package" \
        "$folder/strongroom_$version-${revision}_$architecture.deb" >/dev/null
}

place() {
    install -D -m 755 "$files/strongroom" "$package/usr/bin/strongroom"
    install -D -m 644 "$files/strongroom.toml" "$package/etc/strongroom/strongroom.toml"
    install -D -m 644 "$files/strongroom.service" "$package/lib/systemd/system/strongroom.service"
    install -D -m 644 "$files/strongroom.sysusers" "$package/usr/lib/sysusers.d/strongroom.conf"
    install -D -m 644 "$files/completions/strongroom.bash" "$package/usr/share/bash-completion/completions/strongroom"
    install -D -m 644 "$files/completions/strongroom.zsh" "$package/usr/share/zsh/vendor-completions/_strongroom"
    install -D -m 644 "$files/completions/strongroom.fish" "$package/usr/share/fish/vendor_completions.d/strongroom.fish"
    local page
    for page in "$files"/man/*; do
        install -D -m 644 "$page" "$package/usr/share/man/man1/${page##*/}"
    done
    gzip --best --no-name "$package"/usr/share/man/man1/*
}

document() {
    local documents=$package/usr/share/doc/strongroom date
    install -D -m 644 "$files/README.md" "$documents/README.md"
    install -m 644 "$files/SECURITY.md" "$documents"
    gzip --best --no-name <"$files/CHANGELOG.md" >"$documents/changelog.gz"
    date=$(LC_ALL=C date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
    printf 'strongroom (%s) unstable; urgency=medium\n\n  * Version %s: see changelog.gz.\n\n -- %s  %s\n' \
        "$version-$revision" "$version" "$(sed -n 's/^Maintainer: //p' "$here/debian/control")" "$date" |
        gzip --best --no-name >"$documents/changelog.Debian.gz"
    install -m 644 "$here/debian/copyright" "$documents"
}

control() {
    local debian=$package/DEBIAN size glibc
    mkdir "$debian"
    install -m 755 "$here"/debian/{postinst,prerm,postrm} "$debian"
    echo /etc/strongroom/strongroom.toml >"$debian/conffiles"
    (cd "$package" && find . -type f -not -path './DEBIAN/*' -not -path './etc/*' -printf '%P\0' | sort -z |
        xargs -0 md5sum >"$debian/md5sums")
    size=$(du -sk --apparent-size --exclude=DEBIAN "$package" | cut -f 1)
    # The newest symbol that the binary needs of glibc.
    glibc=$(objdump -T "$files/strongroom" | sed -n 's/.*GLIBC_\([0-9.]*\)).*/\1/p' | sort -V | tail -n 1)
    sed -e "s/@VERSION@/$version-$revision/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/@GLIBC@/$glibc/" \
        "$here/debian/control" >"$debian/control"
}

main

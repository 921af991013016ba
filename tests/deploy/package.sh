#!/usr/bin/env bash
# Makes the files of a release from a binary, and tests them: the tarball, the bill of materials, and the life of the Debian
# package from its installation to its purge, in a root folder of its own. Nothing is installed on this machine.
#
#     tests/deploy/package.sh BINARY
#
# The installed program serves from the installed settings, as the package's own user where this runs as root.
set -euo pipefail

binary=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
server=
trap clean_up EXIT

main() {
    chmod 755 "$work" # the package's user passes through
    cd "$repository"

    export XZ_LEVEL=0 # quick
    deploy/dist/dist.sh "$binary" "$work/dist"
    # A later release of the same.
    mkdir "$work/files" "$work/later"
    tar -xzf "$work"/dist/*.tar.gz --strip-components=1 -C "$work/files"
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) DEBIAN_REVISION=2 \
        deploy/dist/debian.sh "$work/files" "$("$binary" --version | cut -d ' ' -f 2)" "$work/later"

    tarball
    "$(tests/tools/deploy.sh)" tests/deploy/sbom.py "$work"/dist/*.cdx.json
    lint
    unit_is_sound
    life_of_the_package
}

tarball() {
    (cd "$work/dist" && sha256sum --check --quiet SHA256SUMS)
    local file
    for file in strongroom man/strongroom.1 man/strongroom-key-create.1 completions/strongroom.{bash,zsh,fish} LICENSE \
        README.md strongroom.toml strongroom.service; do
        [[ -s $work/files/$file ]] || fail "the tarball has no $file"
    done
    bash -n "$work/files/completions/strongroom.bash"
    # Every page is a page: the formatter warns of what it does not understand.
    if command -v groff >/dev/null; then
        local page said
        for page in "$work"/files/man/*; do
            said=$(groff -k -man -Tutf8 -ww "$page" 2>&1 >/dev/null)
            [[ -z $said ]] || fail "${page##*/}: $said"
        done
    fi
    echo "package: the tarball has the program, $(ls "$work/files/man" | wc -l) manual pages, and completions for three shells"
}

# Debian's own checker, with warnings as errors.
lint() {
    local root lintian=(lintian)
    if ! command -v lintian >/dev/null; then
        root=$(tests/tools/debian.sh lintian)
        lintian=(env LINTIAN_BASE="$root/usr/share/lintian" PATH="$root/usr/bin:$PATH"
            PERL5LIB="$root/usr/share/perl5:$(echo "$root"/usr/lib/*/perl5/5.*)"
            LD_LIBRARY_PATH="$(echo "$root"/usr/lib/*-linux-gnu)" perl "$root/usr/bin/lintian")
    fi
    "${lintian[@]}" --allow-root --fail-on error,warning \
        --suppress-tags-from-file deploy/dist/debian/lintian-tags "$work"/dist/*.deb ||
        fail "lintian has complaints"
    echo "package: lintian has no errors and no warnings"
}

# systemd's own checks of the unit: whether it understands every line, and how much it shields.
unit_is_sound() {
    local unit=$work/strongroom.service said
    sed "s|/usr/bin/strongroom|$work/files/strongroom|; /^Documentation=/d" deploy/systemd/strongroom.service >"$unit"
    said=$(systemd-analyze verify "$unit" 2>&1) || fail "systemd-analyze verify: $said"
    [[ -z $said ]] || fail "systemd-analyze verify: $said"
    # Of 10; 1.2 is what a service with a network address can reach without naming the addresses.
    systemd-analyze security --offline=true --threshold=15 --no-pager deploy/systemd/strongroom.service >"$work/security" ||
        fail "the unit shields less than it did: $(tail -n 1 "$work/security")"
    echo "package: the unit is valid; $(tail -n 1 "$work/security" | tr -d '→🙂' | xargs)"
}

life_of_the_package() {
    local root=$work/root unit settings data
    mkdir -p "$root"/var/lib/dpkg/{info,updates,triggers}
    touch "$root"/var/lib/dpkg/{status,available}
    chmod -R u=rwX,go=rX "$root"
    unit=$root/lib/systemd/system/strongroom.service
    settings=$root/etc/strongroom/strongroom.toml
    data=$root/var/lib/strongroom

    packages --install "$work"/dist/*.deb
    grep -q '^strongroom:' "$root/etc/passwd" || fail "the package made no user"
    [[ ! -e $data ]] || fail "the installation made $data, which is for systemd to make"
    start
    client create first --generate uuid >/dev/null
    secret_of_the_first_start=$(client get first --value-only)
    stop
    echo "package: the installed program serves with the installed settings"

    echo '# changed here' >>"$settings"
    packages --force-confold --install "$work"/later/*.deb
    grep -q '# changed here' "$settings" || fail "the upgrade replaced changed settings"
    serves_the_same
    echo "package: an upgrade keeps settings, data and keys"

    packages --remove strongroom
    [[ ! -e $root/usr/bin/strongroom && ! -e $unit ]] || fail "the program stays after its removal"
    [[ -e $settings && -e $data/master.key && -e $data/root.key ]] || fail "the removal took settings or keys"
    echo secret >"$root/etc/strongroom/server.pem.key"
    packages --purge strongroom
    [[ ! -e $settings ]] || fail "the purge left the settings"
    [[ -e $data/master.key && -e $root/etc/strongroom/server.pem.key ]] || fail "the purge took keys"
    grep -q '^strongroom:' "$root/etc/passwd" || fail "the purge took the user, to whom the data belongs"
    packages --install "$work"/later/*.deb
    serves_the_same
    echo "package: removal and purge keep data and keys, and a new installation serves them"
}

# packages ARGUMENT...: dpkg in the root folder, which has no other packages.
packages() {
    local dpkg=(dpkg)
    if [[ $(id -u) != 0 ]]; then
        dpkg=(fakeroot dpkg --force-not-root)
    fi
    PATH=$PATH:/usr/sbin:/sbin "${dpkg[@]}" --root="$work/root" --force-script-chrootless --force-depends "$@" >"$work/dpkg.log" 2>&1 ||
        fail "dpkg $*: $(cat "$work/dpkg.log")"
}

# Starts the service with the command of the installed unit, on a free port, and sets `address`.
start() {
    local root=$work/root command line user
    read -ra command < <(sed -n "s|^ExecStart=|$root|p" "$root/lib/systemd/system/strongroom.service")
    command=("${command[@]//\/etc\//$root/etc/}" --data-dir "$root/var/lib/strongroom" --listen 127.0.0.1:0)
    if [[ $(id -u) == 0 ]]; then
        # As systemd's StateDirectory and User do.
        user=$(awk -F : '$1 == "strongroom" { print $3 }' "$root/etc/passwd")
        install -d -m 700 -o "$user" -g "$user" "$root/var/lib/strongroom"
        command=(setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all "${command[@]}")
    fi
    mkfifo "$work/said"
    (cd / && exec env -i PATH="$PATH" "${command[@]}") >"$work/said" 2>"$work/server.log" &
    server=$!
    exec 3<"$work/said"
    rm "$work/said"
    address=
    while IFS= read -r -t 60 line <&3; do
        if [[ $line =~ ready\ on\ http://(.*) ]]; then
            address=${BASH_REMATCH[1]}
            break
        fi
    done
    [[ -n $address ]] || fail "the installed program does not serve: $(cat "$work/server.log")"
}

stop() {
    kill -TERM "$server"
    wait "$server" || fail "the server ended with a failure: $(cat "$work/server.log")"
    server=
    exec 3<&-
}

client() {
    STRONGROOM_SERVER=$address STRONGROOM_API_KEY_FILE=$work/root/var/lib/strongroom/root.key "$work/root/usr/bin/strongroom" "$@"
}

serves_the_same() {
    start
    [[ $(client get first --value-only) == "$secret_of_the_first_start" ]] || fail "the secret is another one"
    stop
}

fail() {
    echo "package: $*" >&2
    exit 1
}

clean_up() {
    if [[ -n $server ]]; then
        kill -KILL "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}

main

#!/usr/bin/env bash
# Prints the folder with a package of Debian's and those that it needs and that are not installed here, unpacked. Nothing is
# installed. Fetches them into an ignored folder where they are missing.
#
#     tests/tools/debian.sh lintian
set -euo pipefail

package=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$here/debian/$package
mkdir -p "$here/debian"

# Tests that start at the same time wait until the first one has fetched it.
exec 9>"$here/debian/.$package.lock"
flock 9
if [[ ! -d $folder ]]; then
    fresh=$(mktemp -d "$here/debian/$package.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    mkdir -p "$fresh/archives/partial"
    fetch() {
        apt-get --quiet --quiet --yes --download-only --no-install-recommends --option Debug::NoLocking=1 \
            --option Dir::Cache::archives="$fresh/archives" install "$package"
    }
    {
        fetch || { [[ $(id -u) = 0 ]] && apt-get update && fetch; }
        for archive in "$fresh"/archives/*.deb; do
            dpkg -x "$archive" "$fresh/root"
        done
    } >&2
    mv "$fresh/root" "$folder"
fi
echo "$folder"

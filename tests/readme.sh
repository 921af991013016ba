#!/usr/bin/env bash
# Runs the commands of the documents, as a reader would type them, against a real server:
#
#     tests/readme.sh                               README.md and every page of docs/ that has a marked block
#     tests/with-server.sh tests/readme.sh PAGE     one page
#
# Each page has a server of its own, with an empty store: a page needs nothing that another page made.
#
# A fenced block runs when the last line with text above it is `<!-- test -->`. In the block:
#
# - `$ ` begins a command. It goes on over the next lines while it is incomplete (an open quote, a here-document's end
#   not yet seen) or ends with a backslash; a `> ` before such lines is dropped. A block without any `$ ` is all
#   commands.
# - The lines below a command are its output, standard error included: all of it, line by line. A line `...` stands for
#   any lines, or for none, and a `...` within a line for any text. Blank lines do not count, and runs of blanks count as
#   one. In a block without any `$ ` the output does not matter.
# - Every command must succeed. `<!-- test: exit 69 -->` says that the block's last command ends with 69 instead.
#
# All blocks of a page run in one shell, so an `export` holds for what follows. It starts in an empty folder in which
# `strongroom-data` is the server's data folder, `target/debug` and `target/release` hold the binary under test, and
# `clients` and `proto` are the repository's. `127.0.0.1:50051` becomes the live address. No credential is set, except
# by the commands themselves; standard input is empty.
set -euo pipefail

# Stands for the output of a command that is not compared with anything.
unchecked=$'\x01'

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

main() {
    if (($# == 0)); then
        run_pages
    else
        : "${STRONGROOM_SERVER:?run this through tests/with-server.sh}"
        run_page "$(realpath "$1")"
    fi
}

# Runs every page with a marked block, each against a server of its own.
run_pages() {
    local page failed=()
    cd "$root"
    for page in $(grep -l '^<!-- test' README.md docs/*.md); do
        tests/with-server.sh tests/readme.sh "$page" || failed+=("$page")
    done
    if ((${#failed[@]} > 0)); then
        echo "readme: failed: ${failed[*]}" >&2
        return 1
    fi
}

# Runs the marked blocks of one page against the live server.
run_page() {
    local page=$1
    page_name=${page#"$root/"}
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    furnish
    unset STRONGROOM_API_KEY STRONGROOM_API_KEY_FILE

    blocks=0 commands=0 failures=0
    read_blocks "$page"
    if ((blocks == 0)); then
        echo "FAIL $page_name  no block is marked with <!-- test -->" >&2
        return 1
    fi
    echo "readme: $page_name: $commands commands in $blocks blocks, $failures failed"
    ((failures == 0))
}

# Makes the folder that the commands run in, and finds them the programs they name.
furnish() {
    local home=$work/home grpcurl probe
    mkdir -p "$home/target"
    ln -s "$(dirname "$STRONGROOM_API_KEY_FILE")" "$home/strongroom-data"
    ln -s "$(dirname "$STRONGROOM_BIN")" "$home/target/debug"
    ln -s "$(dirname "$STRONGROOM_BIN")" "$home/target/release"
    ln -s "$root/clients" "$root/proto" "$home"

    grpcurl=$("$root/tests/tools/grpcurl.sh")
    probe=$("$root/tests/tools/grpc-health-probe.sh")
    PATH=$(dirname "$STRONGROOM_BIN"):$(dirname "$grpcurl"):$(dirname "$probe"):$PATH
    cd "$home"
}

# Finds the marked blocks of the file and runs each.
read_blocks() {
    local page_line mark='' fence='' number=0 first=0 end_fence='^[[:space:]]*(```+)[[:space:]]*$'
    local -a block=()
    while IFS= read -r page_line <&5 || [[ -n $page_line ]]; do
        number=$((number + 1))
        if [[ -n $fence ]]; then
            if [[ $page_line =~ $end_fence && ${BASH_REMATCH[1]} == "$fence" ]]; then
                if [[ -n $mark && ${#block[@]} -gt 0 ]]; then
                    blocks=$((blocks + 1))
                    run_block "$first" "$mark" "${block[@]}"
                fi
                fence='' mark=''
            else
                block+=("$page_line")
            fi
        elif [[ $page_line =~ ^[[:space:]]*(\`\`\`+) ]]; then
            fence=${BASH_REMATCH[1]} first=$((number + 1)) block=()
        elif [[ $page_line =~ ^[[:space:]]*\<!--\ test(:\ exit\ ([0-9]+))?\ --\>[[:space:]]*$ ]]; then
            mark=${BASH_REMATCH[2]:-0}
        elif [[ $page_line == *[![:space:]]* ]]; then
            mark=''
        fi
    done 5<"$1"
}

# run_block FIRST-LINE-NUMBER STATUS LINE...: splits a block into commands, each with the output expected of it.
run_block() {
    local number=$1 last_status=$2 prompted='' line command='' expected=$unchecked at=0
    shift 2
    for line in "$@"; do
        [[ $line == '$ '* ]] && prompted=yes expected=
    done

    number=$((number - 1))
    for line in "$@"; do
        number=$((number + 1))
        if [[ -n $command ]] && is_incomplete "$command"; then
            command+=$'\n'${line#> }
        elif [[ $line == '$ '* || (-z $prompted && $line == *[![:space:]]*) ]]; then
            [[ -z $command ]] || run_command "$at" 0 "$command" "$expected"
            command=${line#'$ '} at=$number
            [[ -z $prompted ]] || expected=
        elif [[ -n $command ]]; then
            expected+=$line$'\n'
        fi
    done
    [[ -z $command ]] || run_command "$at" "$last_status" "$command" "$expected"
}

# Whether the shell would ask for another line.
is_incomplete() {
    local complaint
    [[ $1 == *\\ ]] && return
    complaint=$(bash -n <<<"$1" 2>&1) || return 0
    [[ $complaint == *here-document* ]]
}

# run_command LINE-NUMBER STATUS COMMAND EXPECTED
run_command() {
    local at=$1 want=$2 command=$3 expected=$4 status=0 problem=
    commands=$((commands + 1))
    command=${command//127.0.0.1:50051/$STRONGROOM_SERVER}
    expected=${expected//127.0.0.1:50051/$STRONGROOM_SERVER}

    # Run by this shell, not a child, so that what it exports stays; but its failures must not end the shell.
    set +eu
    eval "$command" >"$work/output" 2>&1 </dev/null 5<&-
    status=$?
    set -eu

    if ((status != want)); then
        problem="it ended with status $status, not $want"
    elif [[ $expected != "$unchecked" ]]; then
        problem=$(first_difference "$expected")
    fi
    if [[ -z $problem ]]; then
        echo "ok   $page_name:$at  ${3%%$'\n'*}"
        return
    fi
    failures=$((failures + 1))
    {
        echo "FAIL $page_name:$at  $3"
        echo "$problem; its output was:"
        sed 's/^/    /' "$work/output"
    } >&2
}

# Prints a sentence about the first line that is not as expected; nothing where all are.
first_difference() {
    local expected pattern line found any=
    exec 6<"$work/output"
    while IFS= read -r expected; do
        expected=$(squeeze "$expected")
        if [[ -z $expected ]]; then
            continue
        elif [[ $expected == ... ]]; then
            any=yes
            continue
        fi
        pattern=$(as_pattern "$expected")
        found=
        while next_line; do
            # shellcheck disable=SC2053 # the pattern is quoted by as_pattern, but for its `*`
            if [[ $line == $pattern ]]; then
                found=yes
                break
            elif [[ -z $any ]]; then
                echo "'$line' came where '$expected' was expected"
                return
            fi
        done
        if [[ -z $found ]]; then
            echo "no line (after those found before) is '$expected'"
            return
        fi
        any=
    done <<<"$1"
    if [[ -z $any ]] && next_line; then
        echo "'$line' was not expected"
    fi
    exec 6<&-
}

# Sets `line` to the next line of the output that is not blank.
next_line() {
    while IFS= read -r line <&6 || [[ -n $line ]]; do
        line=$(squeeze "$line")
        [[ -z $line ]] || return 0
    done
    return 1
}

# `...` becomes `*`, and every other character stands for itself.
as_pattern() {
    local rest=$1 pattern=
    while [[ $rest == *...* ]]; do
        pattern+=$(quote "${rest%%...*}")'*'
        rest=${rest#*...}
    done
    echo "$pattern$(quote "$rest")"
}

quote() {
    # shellcheck disable=SC2001 # a replacement that uses what it matched is beyond ${variable//search/replace}
    sed 's/[][\\*?()|@!+]/\\&/g' <<<"$1"
}

squeeze() {
    sed 's/[[:space:]][[:space:]]*/ /g; s/^ //; s/ $//' <<<"$1"
}

main "$@"

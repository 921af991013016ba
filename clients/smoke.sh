#!/usr/bin/env bash
# Generates the stubs of the languages without a client of their own, compiles them, and makes a call with them to a live
# server. Then it compares the stubs with those of clients/buf.gen.yaml.
#
#     tests/with-server.sh clients/smoke.sh [LANGUAGE...]
#
# A language whose tools are not installed is skipped, and the last lines say so; with CI=true it has failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${STRONGROOM_SERVER:?run this through tests/with-server.sh}"

passed=0 failed=0 skipped=0

# What each language needs, and how to get it on Debian.
declare -A tools=(
    [cpp]="protoc grpc_cpp_plugin g++ pkg-config" [ruby]="protoc grpc_ruby_plugin ruby"
    [php]="protoc grpc_php_plugin php" [kotlin]="javac mvn" [buf]="npm protoc grpc_cpp_plugin grpc_ruby_plugin grpc_php_plugin"
)
declare -A packages=(
    [cpp]="protobuf-compiler-grpc libgrpc++-dev g++ pkg-config" [ruby]="protobuf-compiler-grpc ruby-grpc"
    [php]="protobuf-compiler-grpc php-cli php-google-protobuf" [kotlin]="default-jdk maven" [buf]="protobuf-compiler-grpc npm"
)

main() {
    local language
    if (($# == 0)); then
        set -- cpp ruby php kotlin buf
    fi
    for language in "$@"; do
        smoke "$language"
    done
    echo "clients-smoke: $passed passed, $failed failed, $skipped skipped"
    ((failed == 0))
}

smoke() {
    local language=$1 tool status=0 started=$SECONDS
    if [[ -z ${tools[$language]:-} ]]; then
        echo "clients-smoke: there is no language $language" >&2
        exit 2
    fi
    for tool in ${tools[$language]}; do
        if ! command -v "$tool" >/dev/null; then
            skip "$language" "$tool"
            return
        fi
    done
    if [[ $language == cpp ]] && ! pkg-config --exists grpc++ protobuf; then
        skip cpp "libgrpc++"
        return
    elif [[ $language == ruby ]] && ! ruby -e 'require "grpc"' 2>/dev/null; then
        skip ruby "the gem grpc"
        return
    elif [[ $language == php && ! -f /usr/share/php/Google/Protobuf/Internal/Message.php ]]; then
        skip php "the library google/protobuf"
        return
    fi

    echo "== $language"
    if [[ $language == buf ]]; then
        buf_writes_the_same || status=1
    else
        "$language/smoke.sh" || status=$?
    fi
    if ((status == 0)); then
        passed=$((passed + 1))
        echo "== $language: passed in $((SECONDS - started)) s"
    else
        failed=$((failed + 1))
        echo "== $language: FAILED with status $status" >&2
    fi
}

skip() {
    echo "== $1: SKIPPED: $2 is not installed; on Debian: apt-get install ${packages[$1]}" >&2
    skipped=$((skipped + 1))
    if [[ ${CI:-} == true ]]; then
        failed=$((failed + 1))
    fi
}

# buf gives the plugins the JSON names of fields, which protoc leaves out, so the files are the same but not their text. The
# stubs of Ruby make a call.
buf_writes_the_same() {
    local fresh buf language
    fresh=$(mktemp -d)
    buf=$(../tests/tools/buf.sh)
    (cd .. && "$buf" generate --template clients/buf.gen.yaml --output "$fresh") || return 1
    for language in cpp ruby php; do
        "$language/generate.sh" "$fresh/$language" >/dev/null || return 1
        if ! diff <(cd "$fresh/$language" && find . -type f | sort) <(cd "$fresh/clients/$language/gen" && find . -type f | sort); then
            echo "clients/buf.gen.yaml does not write the files of clients/$language/generate.sh" >&2
            return 1
        fi
    done
    if ruby -e 'require "grpc"' 2>/dev/null; then
        ruby -I "$fresh/clients/ruby/gen" ruby/example/quickstart.rb buf_example || return 1
    fi
    rm -rf "$fresh"
    echo "buf writes the files that protoc writes"
}

main "$@"

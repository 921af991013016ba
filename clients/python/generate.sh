#!/usr/bin/env bash
# Generates the stubs in src/strongroom/v1 from the proto files in proto/strongroom/v1.
#
#   generate.sh           writes the stubs
#   generate.sh --check   writes nothing, and fails when the stubs differ from the proto files
#
# The generated modules import each other as strongroom.v1, which is also their place in the Python package. The stubs
# are committed, so an installation of the package needs no protoc.
set -euo pipefail
cd "$(dirname "$0")"

proto=../../proto
stubs=src/strongroom/v1
tools=.venv-generate

if ! cmp -s generate-requirements.txt "$tools/installed.txt"; then
  rm -rf "$tools"
  "${PYTHON:-python3}" -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check -r generate-requirements.txt
  cp generate-requirements.txt "$tools/installed.txt"
fi

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$tools/bin/python" -m grpc_tools.protoc --proto_path="$proto" \
  --plugin="protoc-gen-mypy=$tools/bin/protoc-gen-mypy" \
  --plugin="protoc-gen-mypy_grpc=$tools/bin/protoc-gen-mypy_grpc" \
  --python_out="$fresh" --grpc_python_out="$fresh" \
  --mypy_out=quiet:"$fresh" --mypy_grpc_out=quiet:"$fresh" \
  "$proto"/strongroom/v1/*.proto

if [[ "${1:-}" == --check ]]; then
  if ! diff -rq --exclude=__init__.py --exclude=__pycache__ "$fresh/strongroom/v1" "$stubs"; then
    echo "The stubs differ from the proto files: run clients/python/generate.sh and commit the stubs." >&2
    exit 1
  fi
  echo "The stubs match the proto files."
else
  rm -f "$stubs"/*_pb2*.py "$stubs"/*_pb2*.pyi
  cp "$fresh"/strongroom/v1/* "$stubs"/
  echo "Wrote $(ls "$stubs" | grep -c _pb2) stubs to clients/python/$stubs."
fi

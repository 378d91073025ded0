#!/usr/bin/env bash
# Regenerates the pinned, hashed requirement files from pyproject.toml (pins that still fit are kept; no index line is
# written). With --check it writes nothing and fails where a file does not answer to pyproject.toml any more.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
compile() { # output file, then the arguments of uv
  local out=$1 target=$1; shift
  if [ "$check" = yes ]; then target=$(mktemp); cp "$out" "$target"; fi
  uv pip compile "$@" --generate-hashes --no-strip-extras --universal --python-version 3.11 --no-header \
    --no-emit-index-url --no-emit-find-links --quiet -o "$target"
  if [ "$check" = yes ]; then
    # uv names its input in comments; only pins and hashes are compared
    diff <(grep -v '^ *#' "$out") <(grep -v '^ *#' "$target") || { echo "$out is stale: run 'make requirements'"; exit 1; }
    rm "$target"
  fi
}
check=no; [ "${1:-}" = --check ] && check=yes
for extra in sidecar platform; do compile "requirements/$extra.txt" pyproject.toml --extra "$extra"; done
compile requirements/dev.txt pyproject.toml --extra sidecar --extra platform --extra dev
compile requirements/bootstrap.txt requirements/bootstrap.in
# Other people's clients that the interop suite and `hip3 bench` run: environments of their own.
for peer in sdk sdk-coincurve ccxt; do compile "requirements/peers-$peer.txt" "requirements/peers-$peer.in"; done

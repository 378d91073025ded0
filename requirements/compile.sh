#!/usr/bin/env bash
# Regenerates the pinned, hashed requirement files from pyproject.toml. No index line is written.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile "$@" --generate-hashes --no-strip-extras --universal --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links --quiet; }
for extra in sidecar platform; do compile pyproject.toml --extra "$extra" -o "requirements/$extra.txt"; done
compile pyproject.toml --extra sidecar --extra platform --extra dev -o requirements/dev.txt
printf 'editables\nhatchling\nuv\n' | compile - -o requirements/bootstrap.txt

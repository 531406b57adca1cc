#!/usr/bin/env bash
# Creates tools/python/.engines with releases of the Python tool's worker and the sources of SGLang, unpacked but not
# installed. Tests use them with the torch of CHECKPOINT_ENGINE_PYTHON. Without them, these tests are skipped with a notice.
set -euo pipefail
cd "$(dirname "$0")"
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
mkdir -p .engines
fetch() { # NAME VERSION
  [ -d ".engines/$1-$2" ] && return
  "${PYTHON:-python3}" -m pip download --quiet --no-deps --dest "$wheels/$1-$2" "$1==$2"
  python3 -m zipfile -e "$wheels/$1-$2"/*.whl ".engines/$1-$2"
}
for version in 0.1.2 0.2.2 0.3.4 0.4.2 0.4.3rc0; do fetch checkpoint-engine "$version"; done
fetch sglang 0.5.23

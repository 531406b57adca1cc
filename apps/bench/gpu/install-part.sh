#!/usr/bin/env bash
# Unpacks the output of carry-vllm.sh into a folder of Python packages: /tmp/site, or SITE.
#
#   install-part.sh FOLDER...
set -euo pipefail
site=${SITE:-/tmp/site}
mkdir -p "$site"
unpack() {
  if command -v xz >/dev/null; then xz -d -T0 -c "$1"; else
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1"
  fi
}
for part in "$@"; do
  if compgen -G "$part/*.whl" >/dev/null; then
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$part"/*.whl
  fi
  for packed in "$part"/*.so.xz; do
    [ -e "$packed" ] || continue
    to=$site/$(basename "${packed%.xz}" | tr + /)
    mkdir -p "$(dirname "$to")"
    unpack "$packed" >"$to"
  done
  if [ -e "$part/files.tar.xz" ]; then unpack "$part/files.tar.xz" | tar x -C "$site"; fi
done
du -sm "$site"

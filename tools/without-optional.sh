#!/usr/bin/env bash
# Runs a command in a separate mount namespace, in which the optional libraries are not installed and no package registry
# is reachable. The tests must pass there as well. Needs root, or a kernel that allows users to create namespaces.
#
#   tools/without-optional.sh npx vitest run --project integration packages/transport-rdma
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
if [ -z "${CE_HIDDEN_ROOT:-}" ]; then
  CE_HIDDEN_ROOT=$(mktemp -d)
  export CE_HIDDEN_ROOT
  trap 'rmdir "$CE_HIDDEN_ROOT" 2>/dev/null || true' EXIT
  unshare --mount --map-root-user "$0" "$@" && exit 0 || exit $?
fi
cd "$(dirname "$0")/.."
mount -t tmpfs tmpfs "$CE_HIDDEN_ROOT"
libraries='lib(ibverbs|mlx5|rdmacm|numa|nccl|cuda|cudart|transfer_engine)\.so'
# An overlay keeps the removals inside this namespace.
for folder in $(ldconfig -p | sed -nE "s@.*=> (.*)/$libraries.*@\1@p" | xargs -r -n1 realpath | sort -u); do
  layer=$CE_HIDDEN_ROOT/$(echo "$folder" | tr / _)
  mkdir -p "$layer/upper" "$layer/work"
  mount -t overlay overlay -o "lowerdir=$folder,upperdir=$layer/upper,workdir=$layer/work" "$folder"
  find "$folder" -maxdepth 1 -regextype egrep -regex ".*/$libraries.*" -delete
done
# Hides the registry, and environments that tests created from it.
for folder in node_modules/.cache tools/python/.venv tools/node24/node_modules tools/registry/node_modules; do
  if [ -d "$folder" ]; then mount -t tmpfs tmpfs "$folder"; fi
done
unset REQUIRE_NODE_24 REQUIRE_REGISTRY REQUIRE_MOONCAKE VIRTUAL_ENV
export PIP_NO_INDEX=1 PIP_CONFIG_FILE=/dev/null
exec "$@"

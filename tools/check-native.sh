#!/usr/bin/env bash
# Checks the format of the C and C++ sources with clang-format, and with the argument "tidy" also runs clang-tidy
# (minutes), without the fakes of tests.
# The results depend on the release of the tools: pip install clang-format==19.1.7 clang-tidy==19.1.0.1
set -euo pipefail
cd "$(dirname "$0")/.."
# Whether the right release of a tool is installed. Fails if REQUIRE_CLANG is 1 and it is not.
has() {
  if "$1" --version 2>/dev/null | grep -q 'version 19\.'; then return 0; fi
  echo "The C and C++ sources are not checked with $1: release 19 is not installed" >&2
  [ "${REQUIRE_CLANG:-}" != 1 ] || exit 1
  return 1
}
if has clang-format; then git ls-files -z '*.c' '*.cc' '*.h' | xargs -0 clang-format --dry-run --Werror; fi
[ "${1:-}" = tidy ] && has clang-tidy || exit 0

# The options of packages/native-kit/addon.mk that a parser needs.
options=(-std=c++17 -pthread -DNAPI_VERSION=8 -DNAPI_CPP_EXCEPTIONS -DNODE_ADDON_API_DISABLE_DEPRECATED
  -D_FILE_OFFSET_BITS=64 -I. -I../../native-kit/include)
for headers in node-addon-api node-api-headers; do
  options+=(-isystem "$(node -p "path.resolve(require('$headers').include_dir)")")
done
# Checks files of a folder. Usage: tidy FOLDER PATTERN OPTION...
tidy() {
  local folder=$1 pattern=$2 quoted
  shift 2
  printf -v quoted '%q ' "$@"
  (cd "$folder" && git ls-files -z "$pattern" |
    xargs -0 -P "$(nproc)" -n 4 sh -c 'clang-tidy --quiet "$@" -- '"$quoted" sh)
}
for package in device transport-nccl; do tidy "packages/$package/native" '*.cc' "${options[@]}"; done
tidy apps/bench/native '*.cc' -std=c++17 -pthread

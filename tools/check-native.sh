#!/usr/bin/env bash
# Checks the C and C++ sources: their format with clang-format, and with the argument "tidy" also clang-tidy (minutes).
# CI uses these releases from PyPI: pip install clang-format==19.1.7 clang-tidy==19.1.0.1
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v clang-format >/dev/null; then
  git ls-files -z '*.c' '*.cc' '*.h' | xargs -0 clang-format --dry-run --Werror
elif [ "${REQUIRE_CLANG:-}" = 1 ]; then
  echo 'clang-format is not installed: pip install clang-format==19.1.7' >&2
  exit 1
else
  echo 'The format of the C and C++ sources is not checked: clang-format is not installed' >&2
fi
[ "${1:-}" = tidy ] || exit 0

# The options of packages/native-kit/addon.mk that matter to a parser.
options=(-std=c++17 -pthread -DNAPI_VERSION=8 -DNAPI_CPP_EXCEPTIONS -DNODE_ADDON_API_DISABLE_DEPRECATED
  -D_FILE_OFFSET_BITS=64 -I. -I../../native-kit/include)
for headers in node-addon-api node-api-headers; do
  options+=(-isystem "$(node -p "path.resolve(require('$headers').include_dir)")")
done
printf -v quoted '%q ' "${options[@]}"
for package in device transport-nccl; do
  (cd "packages/$package/native" && git ls-files -z '*.cc' |
    xargs -0 -P "$(nproc)" -n 4 sh -c 'clang-tidy --quiet "$@" -- '"$quoted" sh)
done

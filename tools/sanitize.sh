#!/bin/sh
# Builds the addons with the address and undefined behavior sanitizers and runs tests with them: the given files, or all
# tests of the packages that have addons. The sanitizers' runtime must be preloaded before node starts.
set -eu
cd "$(dirname "$0")/.."
for package in device transport-nccl; do
  CXXFLAGS="${CXXFLAGS:--O0 -g1}" make -C "packages/$package/native" -j"$(nproc)" -s SANITIZE=address,undefined
done
[ $# -gt 0 ] || set -- packages/device packages/transport-nccl
LD_PRELOAD="$(${CXX:-g++} -print-file-name=libasan.so):$(${CXX:-g++} -print-file-name=libubsan.so)"
export LD_PRELOAD
export ASAN_OPTIONS=detect_leaks=0 # The JavaScript engine does not free its own memory at exit.
export UBSAN_OPTIONS=print_stacktrace=1
export CHECKPOINT_ENGINE_ADDONS=build/sanitize
exec node node_modules/vitest/vitest.mjs run --project integration "$@"

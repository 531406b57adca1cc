#!/bin/sh
# Runs the package's tests with an addon built for the sanitizers. Their runtime has to be there before node starts.
set -eu
cd "$(dirname "$0")/.."
make -C native -j2 -s SANITIZE=address,undefined
LD_PRELOAD="$(${CXX:-g++} -print-file-name=libasan.so):$(${CXX:-g++} -print-file-name=libubsan.so)"
export LD_PRELOAD
export ASAN_OPTIONS=detect_leaks=0 # The JavaScript engine leaves its own memory to the system.
export UBSAN_OPTIONS=print_stacktrace=1
export CHECKPOINT_ENGINE_ADDONS=build/sanitize
exec node ../../node_modules/vitest/vitest.mjs run --root ../.. --project integration packages/device "$@"

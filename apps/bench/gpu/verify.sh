#!/usr/bin/env bash
# Checks and measures digests on a GPU, and the cost of verified updates of a running vLLM server. Needs the bundle.
#
#   verify.sh OUT [PORT RANKS KIND MODELS [ARGS...]]      only the kernels without a server
#
# ARGS are those of bench update --engine vllm. Results are written to OUT: digest-kernels.jsonl, and the files of
# measure.sh for --verify off, sample and full.
set -u
out=$1
shift
root=$(cd "$(dirname "$0")/../../.." && pwd)
mkdir -p "$out"
PYTHONPATH=$root/python/worker/src:${SITE:-/tmp/site} CUDA_VISIBLE_DEVICES=${GPUS:-0} \
  timeout 150 python3 "$root/apps/bench/python/digest_kernel_bench.py" --gib "${GIB:-2}" | tee "$out/digest-kernels.jsonl"
status=${PIPESTATUS[0]}
[ $# -eq 0 ] && exit "$status"
PEER='' NAME=${NAME:-verify} "$root/apps/bench/gpu/measure.sh" "$out" "$@" --through-receiver --ways serve \
  --variants '--verify off|--verify sample|--verify full' || status=1
exit "$status"

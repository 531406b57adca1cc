#!/usr/bin/env bash
# Checks updates of a vLLM server that sleeps and wakes up: tokens and parameters must equal those of a server that was
# started with the weights. Needs the bundle.
#
#   sleep.sh start PORT KIND MODELS [ARGS...]    starts two servers, at PORT and PORT + 1, and returns at once
#   sleep.sh check OUT PORT KIND MODELS          waits for them, checks, and writes OUT/sleep-KIND.log
#
# GPU (0) selects the GPU of both servers. KIND is a kind of make-models.sh; a small one (qwen3-fp8, deepseek-v3-fp8) is
# enough.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
export BENCH_EXTENSION=checkpoint_engine_worker.vllm_extension.WorkerExtension
case $1 in
start)
  port=$2 kind=$3 models=$4
  shift 4
  export LOAD=auto EXTRA_PYTHONPATH=${EXTRA_PYTHONPATH:-$root/python/worker/src}
  "$here/start-vllm.sh" "$port" "${GPU:-0}" "$models/$kind-A" --enable-sleep-mode "$@"
  "$here/start-vllm.sh" $((port + 1)) "${GPU:-0}" "$models/$kind-B" "$@"
  ;;
check)
  out=$2 port=$3 kind=$4 models=$5
  mkdir -p "$out"
  "$here/wait-vllm.sh" "$port" $((port + 1)) || exit 1
  CUDA_VISIBLE_DEVICES=${GPU:-0} timeout "${LIMIT_S:-120}" python3 "$root/apps/bench/python/sleep_check.py" \
    "http://127.0.0.1:$port" "http://127.0.0.1:$((port + 1))" "$models/$kind-A" "$models/$kind-B" "$root/bundle/run" cli \
    >"$out/sleep-$kind.log" 2>&1
  status=$?
  cut -c1-400 "$out/sleep-$kind.log"
  [ $status = 0 ] || grep -E 'Error|error|Traceback' "/tmp/vllm-$port.log" | tail -n 5 | cut -c1-300
  exit $status
  ;;
*)
  sed -n '5,6p' "$0"
  exit 2
  ;;
esac

#!/usr/bin/env bash
# Starts the servers that the measurements want, all at the same time, on all GPUs of the machine: TP1 and one
# of all GPUs, dense and MoE, and block-FP8 models. All have the Python tool's extension, and the receiver beside it.
#
#   start-all.sh MODELS
set -u
models=$1
here=$(cd "$(dirname "$0")" && pwd)
export BENCH_EXTENSION=checkpoint_engine.worker.VllmColocateWorkerExtension,checkpoint_engine_worker.vllm_extension.WorkerExtension
export EXTRA_PYTHONPATH=${EXTRA_PYTHONPATH:-$here/../../../python/worker/src}
for _ in $(seq 240); do
  [ "$(ls -d "$models"/*.config 2>/dev/null | wc -l)" -ge 8 ] && break
  sleep 1
done
ls -d "$models"/*.config
count=$(nvidia-smi -L | wc -l)
all=$(seq -s, 0 $((count - 1)))
flash=(--attention-backend FLASH_ATTN)
"$here/start-vllm.sh" 8001 0 "$models/qwen3-A.config" "${flash[@]}"
"$here/start-vllm.sh" 8002 1 "$models/qwen3-moe-A.config" "${flash[@]}"
"$here/start-vllm.sh" 8003 "$all" "$models/qwen3-A.config" "${flash[@]}"
"$here/start-vllm.sh" 8004 "$all" "$models/qwen3-moe-A.config" "${flash[@]}"
export LOAD=auto
"$here/start-vllm.sh" 8005 $((2 % count)) "$models/qwen3-fp8-A" "${flash[@]}"
"$here/start-vllm.sh" 8006 $((3 % count)) "$models/deepseek-v3-fp8-A" --attention-backend TRITON_MLA

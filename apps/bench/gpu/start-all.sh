#!/usr/bin/env bash
# Starts servers for measurements at the same time, and waits for the checkpoints that they need. All servers have the
# Python tool's extension and the receiver.
#
#   start-all.sh MODELS [SET...]      start-all.sh /tmp/models usual ep
#
# SET       port, model, GPUs
# usual     8001 qwen3, 8002 qwen3-moe: one GPU each; 8003 qwen3, 8004 qwen3-moe: all GPUs;
#           8005 qwen3-fp8, 8006 deepseek-v3-fp8: one GPU each, started with checkpoint A
# kimi      8011 kimi-k2, started with checkpoint A, 8012 kimi-k2-bf16: one GPU each
# kimi-tp   8013 kimi-k2, started with checkpoint A, 8014 kimi-k2-bf16: all GPUs
# ep        8021 qwen3-moe, 8022 deepseek-v3-fp8, started with checkpoint A: two GPUs, each expert on one of them
set -u
models=$1
shift
[ $# -gt 0 ] || set -- usual
here=$(cd "$(dirname "$0")" && pwd)
export BENCH_EXTENSION=checkpoint_engine.worker.VllmColocateWorkerExtension,checkpoint_engine_worker.vllm_extension.WorkerExtension
export EXTRA_PYTHONPATH=${EXTRA_PYTHONPATH:-$here/../../../python/worker/src}
count=$(nvidia-smi -L | wc -l)
all=$(seq -s, 0 $((count - 1)))
flash=(--attention-backend FLASH_ATTN)
mla=(--attention-backend TRITON_MLA)

start() { # PORT GPUS KIND [ARGS]: with random weights
  # make_model.py writes the folder of the config last.
  for _ in $(seq 240); do [ -e "$models/$3-A.config/config.json" ] && break || sleep 1; done
  "$here/start-vllm.sh" "$1" "$2" "$models/$3-A.config" "${@:4}"
}
start_loaded() { # the same, with the weights of checkpoint A
  for _ in $(seq 240); do [ -e "$models/$3-A.config/config.json" ] && break || sleep 1; done
  LOAD=auto "$here/start-vllm.sh" "$1" "$2" "$models/$3-A" "${@:4}"
}

for set; do
  case $set in
    usual)
      start 8001 0 qwen3 "${flash[@]}"
      start 8002 $((1 % count)) qwen3-moe "${flash[@]}"
      start 8003 "$all" qwen3 "${flash[@]}"
      start 8004 "$all" qwen3-moe "${flash[@]}"
      start_loaded 8005 $((2 % count)) qwen3-fp8 "${flash[@]}"
      start_loaded 8006 $((3 % count)) deepseek-v3-fp8 "${mla[@]}"
      ;;
    kimi)
      start_loaded 8011 0 kimi-k2 "${mla[@]}"
      start 8012 $((1 % count)) kimi-k2-bf16 "${mla[@]}"
      ;;
    kimi-tp)
      start_loaded 8013 "$all" kimi-k2 "${mla[@]}"
      start 8014 "$all" kimi-k2-bf16 "${mla[@]}"
      ;;
    ep)
      start 8021 0,1 qwen3-moe "${flash[@]}" --enable-expert-parallel
      start_loaded 8022 0,1 deepseek-v3-fp8 "${mla[@]}" --enable-expert-parallel
      ;;
    *) echo "There is no set $set: usual, kimi, kimi-tp, ep" >&2; exit 2 ;;
  esac
done

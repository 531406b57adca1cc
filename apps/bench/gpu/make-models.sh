#!/usr/bin/env bash
# Creates the checkpoints for measure.sh, two of each kind, on all GPUs of the machine at the same time.
#
#   make-models.sh FOLDER [KIND...]      KIND: qwen3 qwen3-moe qwen3-fp8 deepseek-v3-fp8 (the default), kimi-k2 kimi-k2-bf16
set -u
out=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
gpus=$(nvidia-smi -L | wc -l)
at=0
[ $# -gt 0 ] || set -- qwen3 qwen3-moe qwen3-fp8 deepseek-v3-fp8
for kind; do
  for seed in 1 2; do
    name=$kind-$([ $seed = 1 ] && echo A || echo B)
    CUDA_VISIBLE_DEVICES=$((at % gpus)) python3 "$here/../python/make_model.py" "$kind" $seed "$out/$name" &
    at=$((at + 1))
  done
done
wait

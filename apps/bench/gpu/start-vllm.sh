#!/usr/bin/env bash
# Starts a vLLM server that outlives this script, and returns at once: wait-vllm.sh waits for it.
#
#   start-vllm.sh PORT GPUS CONFIG [ARGS...]      start-vllm.sh 8001 0,1 /tmp/models/qwen3-A.config --attention-backend FLASH_ATTN
#
# Several servers can share a GPU: each needs only KV_CACHE (1 GiB) in addition to its weights. The server captures CUDA
# graphs for decoding. EXTENSION is its worker extension (vllm_extension.BenchExtension), BENCH_EXTENSION the extension
# that this one extends, LOAD (dummy) its load format, and SITE (/tmp/site) the folder of its packages.
set -euo pipefail
port=$1 gpus=$2 config=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
tp=$(awk -F, '{print NF}' <<<"$gpus")
export PYTHONPATH=${SITE:-/tmp/site}:${EXTRA_PYTHONPATH:+$EXTRA_PYTHONPATH:}$here/../python
export CUDA_VISIBLE_DEVICES=$gpus VLLM_SERVER_DEV_MODE=1 HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1
export VLLM_USE_FLASHINFER_SAMPLER=0 VLLM_USE_DEEP_GEMM=0
graphs='{"mode":0,"cudagraph_mode":"FULL_DECODE_ONLY","cudagraph_capture_sizes":[1,2,4]}'
setsid python3 -m vllm.entrypoints.openai.api_server --model "$config" --served-model-name m --host 127.0.0.1 --port "$port" \
  --load-format "${LOAD:-dummy}" --skip-tokenizer-init --max-model-len 1024 --max-num-batched-tokens 2048 --max-num-seqs 8 \
  --gpu-memory-utilization 0.3 --kv-cache-memory-bytes "${KV_CACHE:-1073741824}" --tensor-parallel-size "$tp" \
  --disable-custom-all-reduce --compilation-config "$graphs" \
  --worker-extension-cls "${EXTENSION:-vllm_extension.BenchExtension}" "$@" >"/tmp/vllm-$port.log" 2>&1 </dev/null &
echo $! >"/tmp/vllm-$port.pid"
echo "vLLM on port $port, GPUs $gpus: starting"

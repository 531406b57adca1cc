#!/usr/bin/env bash
# Updates a block-FP8 model through the unmodified extension. vLLM 0.26 does not support this, so the update must fail,
# and the hint must recommend the receiver.
#
#   fp8-unmodified.sh OUT PORT MODELS
set -u
root=$(cd "$(dirname "$0")/../../.." && pwd)
export CUDA_VISIBLE_DEVICES=${GPUS:-0}
curl -sf -X POST "http://127.0.0.1:$2/collective_rpc" -H "content-type: application/json" -d "{\"method\":\"bench_offer\",\"args\":[false]}" >/dev/null
"$root/bundle/run" cli update --checkpoint-path "$3/qwen3-fp8-B" --endpoint "http://127.0.0.1:$2" --json \
  >"$1/fp8-unmodified.json" 2>"$1/fp8-unmodified.log"
echo "exit status $?"
grep -o 'object has no attribute[^"]*' "$1"/fp8-unmodified.* | head -n 1 | cut -c1-200
grep -q 'pip install checkpoint-engine-worker' "$1"/fp8-unmodified.* && echo 'recognized: the hint recommends the receiver' || { echo 'NOT recognized'; head -c 1500 "$1"/fp8-unmodified.*; exit 1; }

#!/usr/bin/env bash
# Measures updates of a running vLLM server, as users run them, and updates with the Python tool. Needs the bundle.
#
#   measure.sh OUT PORT RANKS KIND MODELS [ARGS...]      ARGS are those of bench update --engine vllm
#
# GPUS (0, or 0,1) selects the GPUs of the server. The result is written to OUT/engine-KIND-tpRANKS.json, and the output to
# .log.
set -u
out=$1 port=$2 ranks=$3 kind=$4 models=$5
shift 5
root=$(cd "$(dirname "$0")/../../.." && pwd)
name=engine-$kind-tp$ranks${NAME:+-$NAME}
export PYTHONPATH=${SITE:-/tmp/site} CUDA_VISIBLE_DEVICES=${GPUS:-$([ "$ranks" = 1 ] && echo 0 || seq -s, 0 $((ranks - 1)))}
mkdir -p "$out"
"$root/bundle/run" bench update --engine vllm --brief --python python3 --endpoint "http://127.0.0.1:$port" --ranks "$ranks" \
  --checkpoints "$models/$kind-A,$models/$kind-B" --model-name "$kind" --updates "${UPDATES:-3}" ${PEER---peer} \
  --json "$out/$name.json" "$@" 2>"$out/$name.log"
status=$?
cut -c1-700 "$out/$name.log" | tail -n "${LINES_OF_LOG:-24}"
exit $status

#!/usr/bin/env bash
# Checks updates of a model with a predictor (MTP) in its checkpoint: tiny, with random weights. Needs the bundle.
#
#   draft.sh start PORT MODELS       makes the models, starts a server, and returns at once
#   draft.sh check OUT PORT MODELS   waits for it, checks, and writes OUT/draft.log
#
# GPU (0) selects the GPU of the server.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
case $1 in
start)
  port=$2 models=$3
  for model in mimo:1:A mimo:2:B mimo-plain:1:plain; do
    IFS=: read -r kind seed name <<<"$model"
    PYTHONPATH=${SITE:-/tmp/site} python3 "$root/tools/engines/make_model.py" "$kind" "$seed" "$models/mimo-$name" || exit 1
  done
  export LOAD=auto EXTENSION=draft_extension.DraftExtension
  export EXTRA_PYTHONPATH=$root/python/worker/src:$root/tools/engines
  "$here/start-vllm.sh" "$port" "${GPU:-0}" "$models/mimo-A" \
    --speculative-config '{"method":"mtp","num_speculative_tokens":1}'
  ;;
check)
  out=$2 port=$3 models=$4
  mkdir -p "$out"
  "$here/wait-vllm.sh" "$port" || exit 1
  CUDA_VISIBLE_DEVICES=${GPU:-0} timeout "${LIMIT_S:-120}" python3 "$root/apps/bench/python/draft_check.py" \
    "http://127.0.0.1:$port" "$models/mimo-A" "$models/mimo-B" "$models/mimo-plain" "$root/bundle/run" cli \
    >"$out/draft.log" 2>&1
  status=$?
  cut -c1-400 "$out/draft.log"
  grep -E 'draft model, which keeps' "/tmp/vllm-$port.log" | tail -n 1 | cut -c1-200
  exit $status
  ;;
*)
  sed -n '4,5p' "$0"
  exit 2
  ;;
esac

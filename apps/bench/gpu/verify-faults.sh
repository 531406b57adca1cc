#!/usr/bin/env bash
# Breaks the worker of a vLLM server in every way of python/worker_faults.py: each verified update must fail and report
# the difference, and the next update must succeed. Needs the bundle, and a server that was started with
# BENCH_EXTENSION=checkpoint_engine_worker.vllm_extension.WorkerExtension.
#
#   verify-faults.sh OUT PORT RANKS CHECKPOINT_A CHECKPOINT_B
set -u
out=$1 port=$2 ranks=$3 checkpoints=("$4" "$5")
root=$(cd "$(dirname "$0")/../../.." && pwd)
export PYTHONPATH=${SITE:-/tmp/site} CUDA_VISIBLE_DEVICES=${GPUS:-$([ "$ranks" = 1 ] && echo 0 || seq -s, 0 $((ranks - 1)))}
mkdir -p "$out"
status=0 turn=0
call() { # METHOD ARGUMENT
  curl -sf -o /dev/null -H 'content-type: application/json' -d "{\"method\":\"$1\",\"args\":[$2]}" \
    "http://127.0.0.1:$port/collective_rpc" || { echo "FAILED: $1 $2"; status=1; }
}
update() {
  turn=$((turn + 1))
  "$root/bundle/run" cli update --checkpoint-path "${checkpoints[$((turn % 2))]}" --endpoint "http://127.0.0.1:$port" \
    --nproc-per-node "$ranks" --verify full >"$out/update-$turn.log" 2>&1
}
call bench_offer true
for _ in 1 2; do
  update || { echo "FAILED: an update without a fault"; tail -n 5 "$out/update-$turn.log"; status=1; }
done
for fault in 'flipped bit' 'cleared bytes' 'shifted bytes' 'wrong place' 'skipped box' 'shifted source'; do
  call bench_fault "\"$fault\""
  if update; then
    echo "NOT FOUND: $fault"
    status=1
  elif line=$(grep -m1 -o 'Tensor "[^"]*", bytes [0-9]* to [0-9]*, differs in .*: expected digest .*' "$out/update-$turn.log"); then
    echo "found: $fault: $line" | cut -c1-300
  else
    echo "ANOTHER FAILURE: $fault: $(grep -v '^{"level"' "$out/update-$turn.log" | cut -c1-2000)"
    status=1
  fi
  call bench_fault '""'
  update || { echo "FAILED: the update after $fault"; tail -n 5 "$out/update-$turn.log"; status=1; }
done
exit $status

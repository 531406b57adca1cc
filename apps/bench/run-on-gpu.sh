#!/usr/bin/env bash
# Measures and checks on a GPU machine that has Python with torch, safetensors and checkpoint-engine, from the bundle.
#
#   apps/bench/run-on-gpu.sh OUT STEP...     steps: quick correct update stream checks world stages compliance kill
set -u
out=$1
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
run=$root/bundle/run
make=$root/apps/bench/python/make_checkpoint.py
data=${CHECKPOINT_ENGINE_BENCH_DATA:-/tmp/checkpoint-engine-data}
mkdir -p "$data" "$out"
model() { [ -d "$data/$1" ] || python3 "$make" --dir "$data/$1" --model "${2:-$1}" "${@:3}"; }
say() { printf '\n=== %s (%s s)\n' "$1" "$SECONDS"; }

model one one --shards 1
for step; do
  case $step in
    quick)
      say quick
      nvidia-smi -L
      "$run" cli doctor
      model small qwen3-8b --layers 2 --shards 2
      "$run" bench update --dir "$data/small" --small-dir "$data/one" --updates 3 --no-peer
      ;;
    correct)
      for name in mixed many huge; do
        say "correct: $name"
        model $name
        "$run" bench update --dir "$data/$name" --small-dir "$data/one" --updates 2 --registers 1 --no-peer --json "$out/correct-$name.json"
      done
      say 'correct: 16 MiB buckets'
      "$run" bench update --dir "$data/small" --small-dir "$data/one" --updates 20 --registers 1 --no-peer --bucket-size 16MiB
      ;;
    update)
      model qwen3-8b
      for size in ${BUCKETS:-128MiB}; do
        say "update: $size"
        "$run" bench update --dir "$data/qwen3-8b" --small-dir "$data/one" --updates 5 --registers 2 --bucket-size "$size" ${NO_PEER:+--no-peer} --json "$out/update-$size.json"
      done
      ;;
    stream)
      model qwen3-8b
      for memory in ${HOST_MEMORY:-2GiB}; do
        say "stream: --host-memory $memory"
        "$run" bench stream --dir "$data/qwen3-8b" --small-dir "$data/one" --rounds "${ROUNDS:-3}" --host-memory "$memory" ${PEER:+--peer} ${COLD:+--cold} --json "$out/stream-$memory.json"
      done
      ;;
    register)
      model qwen3-8b
      say 'register: memory used for the first time, and again'
      "$run" bench register --fresh --dir "$data/qwen3-8b" --rounds "${ROUNDS:-2}" --json "$out/register-fresh.json"
      ;;
    checks)
      say checks
      model small qwen3-8b --layers 2 --shards 2
      [ -d "$data/lm" ] || python3 "$root/apps/bench/python/make_lm.py" --dir "$data/lm"
      "$run" bench checks --dir "$data/small" --lm-dir "$data/lm"
      ;;
    world)
      model small qwen3-8b --layers 2 --shards 2
      for ranks in ${RANKS:-2}; do
        say "world: $ranks ranks"
        "$run" bench world --dir "$data/${WORLD_MODEL:-small}" --ranks "$ranks" --updates "${UPDATES:-4}" --json "$out/world-$ranks.json"
      done
      ;;
    stages)
      model small qwen3-8b --layers 2 --shards 2
      for stages in 2 3 auto; do
        say "stages: $stages"
        "$run" bench world --dir "$data/${WORLD_MODEL:-small}" --ranks "${RANKS:-2}" --updates "${UPDATES:-4}" --bucket-size "${BUCKET:-16MiB}" --stages "$stages" --trace "$out/trace-$stages.json" --json "$out/stages-$stages.json"
      done
      say 'stages: communicators released'
      "$run" bench world --dir "$data/small" --ranks "${RANKS:-2}" --updates 3 --release-communicators --json "$out/released.json"
      ;;
    compliance)
      say compliance
      "$run" bench compliance ${COMPLIANCE_RANKS:+--ranks "$COMPLIANCE_RANKS"} >"$out/compliance.txt" 2>&1
      echo "exit status $?"
      grep -E '^(NCCL |skipped:|[0-9]+ ranks|# (tests|pass|fail|skipped|duration))' "$out/compliance.txt"
      grep -A 25 -E '^ {8,}not ok' "$out/compliance.txt" | head -n 150
      ;;
    kill)
      model small qwen3-8b --layers 2 --shards 2
      say "kill: one of ${KILL_RANKS:-3} ranks"
      "$run" bench kill --dir "$data/small" --ranks "${KILL_RANKS:-3}" --json "$out/kill.json"
      ;;
    *)
      echo "unknown step $step" >&2
      exit 2
      ;;
  esac
done
say done

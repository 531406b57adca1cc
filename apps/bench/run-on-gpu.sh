#!/usr/bin/env bash
# Measures and checks on a GPU machine that has Python with torch, safetensors, pyzmq and checkpoint-engine, from the
# bundle.
#
#   apps/bench/run-on-gpu.sh OUT STEP...
#
# Figures of one GPU:      table (update, and the Python tool) register register-fresh startup memory sizes kimi
#                          stream cold big
# Figures of all GPUs:     multi multi-sizes multi-subset multi-glm
# Updates of odd tensors:   quick correct p2p (needs bundle/mooncake)
# Tests, without figures:  checks compliance kill
#
# Steps are independent and take a few minutes at most. Results are packed into OUT/results.tar.gz after each step; the
# output is short. RANKS (all GPUs), JOINERS (1, of p2p), UPDATES, MODEL and SCALE override the settings of a step.
# DEVICE=host tries the steps without a GPU and without Python; the figures are then meaningless.
set -u
out=$1
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
run=$root/bundle/run
export CHECKPOINT_ENGINE_BENCH_DATA=${CHECKPOINT_ENGINE_BENCH_DATA:-/tmp/checkpoint-engine-data}
results=$CHECKPOINT_ENGINE_BENCH_DATA/results
mkdir -p "$results" "$out"
if [ "${DEVICE:-cuda}" = cuda ]; then
  gpus=$(nvidia-smi -L | wc -l)
  on=(--device cuda --peer)
  links=(--link-floors)
else
  gpus=1
  on=(--device "$DEVICE")
  links=()
fi
ranks=${RANKS:-$gpus}
scaled=(${MODEL:+--model "$MODEL"} ${SCALE:+--scale "$SCALE"})
failed=
bench() {
  local name=$1
  shift
  "$run" bench "$@" --json "$results/$name.json" 2>>"$results/$name.log" || {
    failed="$failed $name"
    echo "FAILED: $name"
    tail -n 15 "$results/$name.log"
  }
}
# Tests that need a GPU: yes or no, no figures.
gpu_test() {
  local name=$1
  shift
  REQUIRE_GPU=1 "$run" test "$@" >"$results/$name.txt" 2>&1 || failed="$failed $name"
  tail -n 40 "$results/$name.txt"
}
say() { printf '\n=== %s (%s s)\n' "$1" "$SECONDS"; }

for step; do
  say "$step"
  case $step in
    table) bench table update --brief "${on[@]}" "${links[@]}" --timelines --updates "${UPDATES:-5}" "${scaled[@]}" ;;
    register) bench register register --brief "${on[@]}" "${scaled[@]}" ;;
    startup) bench startup startup --brief "${on[@]}" ;;
    memory) bench memory memory --brief "${on[@]:0:2}" --model glm-4.5-air --scale "${SCALE:-16GiB}" --device-memory 192MiB,384MiB,768MiB,1GiB,4GiB ;;
    sizes)
      bench sizes update --brief "${on[@]:0:2}" "${scaled[@]}" --updates 2 --device-memory 26GiB --bucket-sizes 16MiB,64MiB,256MiB,1GiB,2GiB,8GiB
      bench sizes-giant update --brief "${on[@]:0:2}" --model giant --updates 2 --registers 1 --device-memory 30GiB
      ;;
    kimi) bench kimi update --brief "${on[@]}" --model kimi-k2 --scale "${SCALE:-8GiB}" --updates 3 --registers 1 ;;
    stream)
      bench stream stream --dir "$("$run" bench checkpoint --model qwen3-8b)" --small-dir "$("$run" bench checkpoint --model one)" --rounds "${ROUNDS:-3}" ${PEER:+--peer}
      ;;
    register-fresh) bench register-fresh register --fresh --brief "${on[@]:0:2}" "${scaled[@]}" --rounds "${ROUNDS:-2}" ;;
    cold)
      bench cold stream --cold --dir "$("$run" bench checkpoint --model qwen3-8b --scale 3GiB)" --small-dir "$("$run" bench checkpoint --model one)" --rounds "${ROUNDS:-2}"
      ;;
    big)
      bench big stream --no-pool --dir "$("$run" bench checkpoint --model glm-4.5-air --scale 30GiB)" --small-dir "$("$run" bench checkpoint --model one)" --rounds 1
      ;;
    multi) bench "multi-$ranks" update --brief "${on[@]}" "${links[@]}" --ranks "$ranks" --timelines --updates "${UPDATES:-20}" --registers 1 "${scaled[@]}" ;;
    multi-sizes) bench "multi-sizes-$ranks" update --brief "${on[@]:0:2}" "${links[@]}" "${scaled[@]}" --ranks "$ranks" --timelines --updates 3 --registers 1 --device-memory 16GiB --bucket-sizes 64MiB,512MiB,2GiB ;;
    multi-subset) bench "multi-subset-$ranks" update --brief "${on[@]:0:2}" "${scaled[@]}" --ranks "$ranks" --timelines --updates 5 --registers 1 --receiving-ranks "${RECEIVING:-0}" ;;
    multi-glm) bench "multi-glm-$ranks" update --brief "${on[@]}" "${links[@]}" --ranks "$ranks" --timelines --updates 5 --registers 1 --model "${MODEL:-glm-4.5-air}" --scale "${SCALE:-24GiB}" ;;
    quick)
      nvidia-smi -L
      "$run" cli doctor
      bench quick update --brief "${on[@]:0:2}" --scale 3GiB --updates 3
      ;;
    correct)
      for model in mixed many huge; do
        bench "correct-$model" update --brief "${on[@]:0:2}" --model "$model" --updates 2 --registers 1
      done
      bench correct-16MiB update --brief "${on[@]:0:2}" --scale 3GiB --updates 20 --bucket-sizes 16MiB
      bench correct-shared update --brief "${on[@]:0:2}" --scale 3GiB --updates 10 --bucket-sizes 16MiB --ranks $((gpus + 1))
      ;;
    checks) gpu_test checks apps/bench/test/checks.stress.ts ;;
    kill) gpu_test kill apps/bench/test/kill.stress.ts -t cuda ;;
    compliance) gpu_test compliance packages/device/test/cuda.gpu.test.ts packages/transport-nccl/test/compliance.gpu.test.ts ;;
    p2p)
      # Needs bundle/mooncake (apps/bench/carry-mooncake.sh), or MOONCAKE_PYTHON, a Python that has Mooncake.
      bench p2p p2p join --brief "${on[@]:0:2}" --receiver "$([ "${DEVICE:-cuda}" = cuda ] && echo python || echo ours)" --mooncake-python "${MOONCAKE_PYTHON:-$root/bundle/mooncake/python}" --scale "${SCALE:-3GiB}" --updates "${UPDATES:-3}" --ranks "${JOINERS:-1}"
      ;;
    *)
      echo "unknown step $step" >&2
      exit 2
      ;;
  esac
  tar -czf "$out/results.tar.gz" -C "$results" .
done
say "done${failed:+, FAILED:$failed}"
[ -z "$failed" ]

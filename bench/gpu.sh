#!/usr/bin/env bash
# Everything that docs/gpu.md shows of a GPU: the tests of the backend, then batches 8, 1 and 32 beside PyTorch.
# With more than one GPU PyTorch's candidates are tuned on all of them; then batches run side by side, each on cores
# of its own. Behind batch 8 come a recording of its profile and where kernels of mix B's plans ran; last, on all GPUs,
# whole models in every precision against the CPU. What is there at the same commit is left out, so a call that was cut
# short is repeated.
#
#   bench/gpu.sh BUNDLE RESULTS [WORK [SECONDS]]
#
# BUNDLE   the unpacked archive of `make device-bundle`
# RESULTS  bench/results/<gpu>; `bench/summarize_gpu.py RESULTS` makes its summary
# WORK     profiles, plans, logs and PyTorch's compiled code (default /tmp/gacer-bench)
# SECONDS  after which nothing new is begun; what is being made then takes up to two minutes more
#
# MODELS=folder of the trained models' files for the numbers (default .models, which `make setup` makes)
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,16s/^# \?//p' "$0" >&2; exit 2; }
bundle=$(realpath "$1") results=$(realpath -m "$2") work=$(realpath -m "${3:-/tmp/gacer-bench}")
trained=${MODELS:+$(realpath -m "$MODELS")}
end=$((SECONDS + ${4:-1000000}))
cd "$(dirname "${BASH_SOURCE[0]}")/.."
models=(alexnet vgg16 resnet18 resnet50 resnet101 densenet121 mobilenet_v3_large)
mkdir -p "$results" "$work"

gpus=$(nvidia-smi -L | wc -l) || gpus=0
case $gpus in
  0) echo "there is no GPU" >&2; exit 1 ;;
  1) lanes=("8 1 32") ;;
  2) lanes=("8" "32 1") ;;
  *) lanes=("8" "32" "1") ;;
esac
commit=$("$bundle/gacer" --version | sed 's/.*(\(.*\))/\1/')
read -ra cores < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))')
share=$((${#cores[@]} / ${#lanes[@]}))

run_tests() {
  if grep -qs "\"commit\": \"$commit\"" "$results/tests.json" && grep -q '"failed": 0' "$results/tests.json"; then
    return 0
  fi
  tools/test_on_gpu "$bundle" "$results/tests.json"
}

left() { echo $((end > SECONDS ? end - SECONDS : 0)); }

# PyTorch's candidates, on all GPUs, until all are decided.
tune() {
  [ ! -e "$work/tuned" ] || return 0
  [ "$(left)" -gt 0 ] || return 1
  TORCHINDUCTOR_CACHE_DIR="$work/inductor0" python3 bench/peers/tune_blocks.py 8 "$(left)" "${models[@]}" \
    --keep "$results/max_autotune_b8.json.xz" || return 1
  touch "$work/tuned"
}

measure() {  # BATCH OPTION...
  python3 bench/gpu.py --gacer "$bundle/gacer" --out "$results" --work "$work/b$1" --missing --turns 6 \
    --seconds "$(left)" --batch "$@" A B C "${models[@]}"
}

# The profile of batch 8 as a device that any machine can plan for.
record() {
  local tenants=("${models[@]/#/zoo:}")
  "$bundle/gacer" profile "${tenants[@]/%/@8}" --device cuda --precision fp16 --db "$work/b8/profile_$commit.db" \
    --record "$results/cnn_b8.rec.json" --quiet
}

# On which multiprocessors the kernels of plans with parts of the device ran, by those plans.
place() {
  python3 bench/gpu.py --gacer "$bundle/gacer" --out "$results" --work "$work/b8" --missing --seconds "$(left)" \
    --batch 8 --placement --mix B
}

# Whole models in every precision against the CPU.
check_numbers() {
  local devices
  devices=$(seq -s, -f cuda:%g 0 $((gpus - 1)))
  python3 bench/check_numbers.py --gacer "$bundle/gacer" --out "$results/numbers.json" --work "$work/numbers" \
    --trained "${trained:-.models}" --missing --seconds "$(left)" --device "$devices" --jobs $((4 * gpus))
}

# Batches of one GPU, in turn, and what else is measured there; what comes after a failure runs all the same.
run_lane() {  # GPU BATCH...
  local gpu=$1 failed=0
  shift
  export CUDA_VISIBLE_DEVICES=$gpu XDG_CACHE_HOME="$work/cache$gpu" TORCHINDUCTOR_CACHE_DIR="$work/inductor$gpu"
  if [ "${#lanes[@]}" -gt 1 ] && [ "$share" -gt 0 ]; then
    taskset -cp "$(IFS=,; echo "${cores[*]:gpu * share:share}")" "$BASHPID" >/dev/null || return 1
  fi
  for batch in "$@"; do
    case $batch in
      8)
        { measure 8 --mps --max-autotune && record; } || failed=1
        place || failed=1
        ;;
      *) measure "$batch" --search-time 10s || failed=1 ;;
    esac
  done
  return $failed
}

# First, so that nothing runs beside them.
failed=0
run_tests || failed=1
tune || failed=1
pids=()
for gpu in "${!lanes[@]}"; do
  read -ra batches <<<"${lanes[$gpu]}"
  run_lane "$gpu" "${batches[@]}" > >(tee "$work/gpu$gpu.log") 2>&1 &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
check_numbers || failed=1
exit $failed

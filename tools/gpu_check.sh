#!/usr/bin/env bash
# Everything that only a GPU can check, in one command: tools/gpu_check.sh [--quick]
#   --quick  without compute-sanitizer, and fewer timed runs
# A native build, the tests of the device cuda against the oracle, compute-sanitizer where it is
# installed, training runs that must leave the same bits, whole steps of R(2+1)D-18, and the kernels beside cuDNN and
# cuBLAS. Figures go to benchmarks/results/gpu-NAME.json. Exit status: 0; 1 a check failed; 4 no usable GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

quick=false
case "$#:${1-}" in
  0:) ;;
  1:--quick) quick=true ;;
  1:--help | 1:-h)
    sed -n '2,6s/^# //p' "$0"
    exit 0
    ;;
  *)
    echo "usage: tools/gpu_check.sh [--quick]" >&2
    exit 2
    ;;
esac

no_gpu() {
  echo "gpu_check: no usable GPU: $*" >&2
  exit 4
}

command -v nvidia-smi >/dev/null || no_gpu "nvidia-smi is missing, and with it the driver"
gpu_name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || true
[[ -n $gpu_name ]] || no_gpu "nvidia-smi finds none"
command -v nvcc >/dev/null || no_gpu "nvcc is missing: the kernels cannot be built"

tools/setup.sh
scratch=$(mktemp -d)
stage_name="start"
trap 'status=$?; rm -rf "$scratch"; ((status == 0)) || echo "gpu_check: FAILED in: $stage_name" >&2' EXIT
seconds="" # a JSON member a stage
stage() {
  stage_name=$1
  shift
  echo "== $stage_name"
  local start=$SECONDS
  "$@"
  echo "== $stage_name: $((SECONDS - start)) s"
  seconds+="${seconds:+, }\"$stage_name\": $((SECONDS - start))"
}

build="build-gpu"
build_native() {
  cmake --preset cuda-native
  cmake --build --preset cuda-native -j "$(tools/jobs.sh)"
}

find_device() {
  local devices
  devices=$($build/mcn devices)
  echo "$devices"
  if grep -q '^cuda .*not here:' <<<"$devices"; then no_gpu "the build does not see it"; fi
}

# Tests of the device begin with its name; one that is skipped has not seen the GPU.
suite() {
  ctest --preset cuda-native -R '/cuda ' --no-tests=error | tee "$scratch/suite"
  if grep -qi 'skipped' "$scratch/suite"; then
    echo "a test was skipped on a machine with a GPU" >&2
    return 1
  fi
}

sanitize() {
  local tool
  for tool in memcheck racecheck synccheck; do
    echo "-- $tool"
    compute-sanitizer --tool "$tool" --error-exitcode 1 $build/test_ops "cuda equals ref on every operator's small cases"
    compute-sanitizer --tool "$tool" --error-exitcode 1 $build/test_ops "cuda has the bits of ref in augmentation"
    compute-sanitizer --tool "$tool" --error-exitcode 1 $build/test_kernels "cuda has tensor-core convolutions*"
  done
}

train() {
  $build/mcn train --device cuda --data "$scratch/videos" --out "$1" --arch r2plus1d_10 --width 0.25 --frames 4 \
    --size 48 --batch 8 --iterations 3 --order 2 "${@:2}" >"$scratch/train.log" 2>&1 || {
    cat "$scratch/train.log" >&2
    return 1
  }
}

# In one place, one after the other: the settings in a checkpoint are the same, too.
same_bits() {
  local precision run sum first graph
  $build/mcn synth --out "$scratch/videos" --classes 2 --train 16 --test 2 --seed 1 >/dev/null
  for precision in fp32 bf16; do
    first=""
    for run in 1 2 3 "4, by a CUDA graph"; do
      rm -rf "$scratch/run"
      graph=()
      if [[ $run == 4* ]]; then graph=(--cuda-graph); fi
      train "$scratch/run" --precision $precision "${graph[@]}"
      sum=$(sha256sum <"$scratch/run/last.safetensors")
      echo "$precision, run $run: ${sum%% *}"
      [[ $sum == "${first:=$sum}" ]] || { echo "run $run in $precision has other bits than run 1" >&2 && return 1; }
    done
  done
}

# Not every FFmpeg, driver and container has the video engine: exit status 4 says so.
video_engine() {
  local video status=0
  video=$(find "$scratch/videos" -name '*.mp4' -print -quit)
  $build/mcn frames "$video" --at 3,0,7,20 --out "$scratch/engine.npy" --hwaccel cuda || status=$?
  if ((status == 4)); then
    echo "no video engine here: left out"
    return 0
  fi
  ((status == 0)) || return 1
  $build/mcn frames "$video" --at 3,0,7,20 --out "$scratch/software.npy"
  cmp "$scratch/engine.npy" "$scratch/software.npy"
}

# Each number's JSON lines become one object.
steps() {
  local number step meta
  for number in fp32 tf32 bf16; do
    step=$($build/mcn bench step --device cuda --precision $number --runs 10 | tail -n 1)
    meta=$($build/mcn bench meta --order 2 --device cuda --precision $number --runs 5 | tail -n 1)
    printf '{"number": "%s",\n "step": %s,\n "meta": %s}\n' "$number" "$step" "$meta" | tee "$scratch/steps-$number"
  done
}

compare() {
  local runs=30
  if $quick; then runs=5; fi
  $build/bench_gpu --runs $runs --json "$scratch/kernels.json"
}

clocks() {
  nvidia-smi --query-gpu=clocks.sm,clocks.mem,temperature.gpu,power.draw,driver_version --format=csv,noheader --id=0
}

stage "native build" build_native
stage "device" find_device
stage "suite on cuda" suite
if $quick; then
  echo "== compute-sanitizer: left out by --quick"
elif command -v compute-sanitizer >/dev/null; then
  stage "compute-sanitizer" sanitize
else
  echo "== compute-sanitizer: not installed, left out"
fi
stage "the same bits in three runs" same_bits
stage "frames by the video engine" video_engine
stage "steps of R(2+1)D-18" steps
clocks_before=$(clocks)
stage "kernels beside cuDNN and cuBLAS" compare

mkdir -p benchmarks/results
result="benchmarks/results/gpu-$(tr -cs '[:alnum:]\n' '-' <<<"$gpu_name" | sed 's/-$//').json"
{
  printf '{"commit": "%s%s",\n' "$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    "$([[ -z $(git status --porcelain 2>/dev/null) ]] || echo ', changed')"
  printf ' "clocks_before": "%s", "clocks_after": "%s",\n' "$clocks_before" "$(clocks)"
  printf ' "seconds": {%s},\n "steps": [%s,\n%s,\n%s],\n "kernels": ' "$seconds" "$(<"$scratch/steps-fp32")" \
    "$(<"$scratch/steps-tf32")" "$(<"$scratch/steps-bf16")"
  cat "$scratch/kernels.json"
  printf '}\n'
} >"$scratch/result.json"
mv "$scratch/result.json" "$result"
echo "gpu_check: passed on $gpu_name; figures in $result"

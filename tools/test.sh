#!/usr/bin/env bash
# All checks of a change: set-up, builds, format, clang-tidy, sanitizers, fuzzers, CUDA, ARM, a fresh Debian 13, and the
# suite last.
# tools/test.sh [--quick]
#   --quick  runs only the release build and the suite, without its attack on the command (tests/attack)
# Leaves out stages that this machine cannot run. The last lines name them, with the reason.
# Ends with ctest's summary. Exit status 0 only if everything passed.
set -euo pipefail
cd "$(dirname "$0")/.."

quick=false
case "$#:${1-}" in
  0:) ;;
  1:--quick) quick=true ;;
  1:--help | 1:-h)
    sed -n '2,7s/^# //p' "$0"
    exit 0
    ;;
  *)
    echo "usage: tools/test.sh [--quick]" >&2
    exit 2
    ;;
esac

jobs=$(tools/jobs.sh)

# The builds with and without CUDA share all objects but one; inside the tree, so that a clean clone compiles everything.
use_ccache() {
  command -v ccache >/dev/null || return 0
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_DIR=$PWD/build/ccache CCACHE_NOHASHDIR=true CCACHE_BASEDIR=$PWD
}

stage_name=""
stage() {
  stage_name=$1
  shift
  echo "== $stage_name"
  local start=$SECONDS
  "$@"
  echo "== $stage_name: $((SECONDS - start)) s"
}
left_out=()
leave_out() {
  echo "== $1: left out: $2"
  left_out+=("$1 ($2)")
}
trap 'status=$?; ((status == 0)) || echo "test: FAILED in: $stage_name" >&2' EXIT

build() {
  cmake --preset "$1"
  cmake --build --preset "$1" -j "$jobs"
}

# Each version of clang-format breaks some lines in its own way.
format_version=14
check_format() {
  clang-format --version | grep -q "version $format_version\." || {
    leave_out "$stage_name" "needs clang-format $format_version, this is $(clang-format --version | grep -oE 'version [0-9.]+')"
    return 0
  }
  git ls-files -z -- '*.h' '*.cpp' '*.cu' '*.cuh' | xargs -0 clang-format --dry-run -Werror
}

# The device simt is left out: CUDA in the words of kernels/simt, and std::source_location, which clang 14 has not.
run_tidy() {
  # Once a source, though the cpu kernels are compiled for several levels, and without an option that clang has not.
  mkdir -p build/tidy
  python3 - <<'PYTHON'
import json
commands = {c["file"]: c for c in json.load(open("build/compile_commands.json"))}
for c in commands.values():
    c["command"] = c["command"].replace(" -fno-gnu-unique", "")
json.dump(list(commands.values()), open("build/tidy/compile_commands.json", "w"), indent=0)
PYTHON
  sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' build/tidy/compile_commands.json |
    grep -vE '/(tests|benchmarks|kernels/simt)/|\.cu$' |
    xargs -r -d '\n' -n 1 -P "$jobs" clang-tidy -p build/tidy --quiet --extra-arg=-Wno-unknown-warning-option \
      2> >(grep -vE '^[0-9]+ warnings? (generated|treated)' >&2)
}

# Without one test that takes 5 minutes with sanitizers and runs no code that others do not, and those of scripts alone.
run_sanitizers() {
  ctest --preset asan -j "$jobs" --no-tests=error \
    -E '^(meta/gradients and K=2 meta-gradients agree with PyTorch in float64|tools/ablation|tools/kernel_report)$'
}

# As little as shows that everything compiles and links, and what the report on the kernels needs: no test is built twice.
build_cuda() {
  cmake --preset cuda
  cmake --build --preset cuda -j "$jobs" --target mcn_kernels_cuda launch_table mcn bench_gpu
}

# NVIDIA's libraries are loaded when they are asked for: a machine may have the driver alone.
check_needed_libraries() {
  local program
  for program in mcn bench_gpu; do
    if readelf -d build-cuda/$program | grep -E 'NEEDED.*lib(cublas|cudnn|cudart)'; then
      echo "$program needs a library of CUDA's to start" >&2
      return 1
    fi
  done
}

# Where there is no GPU, the command still runs, and says why it cannot compute on one: exit status 4.
check_without_gpu() {
  local devices command status
  devices=$(build-cuda/mcn devices)
  if ! grep -q '^cuda .*not here:' <<<"$devices"; then
    echo "there is a GPU here: tools/gpu_check.sh uses it"
    return 0
  fi
  grep '^cuda ' <<<"$devices"
  for command in "mcn gradcheck --device cuda" bench_gpu; do
    status=0
    # shellcheck disable=SC2086
    build-cuda/$command || status=$?
    ((status == 4)) || { echo "expected exit status 4 from $command, got $status" >&2 && return 1; }
  done
}

report_kernels() {
  tools/setup.sh --cuda
  tools/kernel_report --quiet --json build-cuda/kernel_report.json
}

# Exit status 77 says that this machine cannot do it: the stage counts as left out, for the reason it gave last.
unless_skipped() {
  local status=0
  { "$@" 2>&1 >&3 | tee build/stage_errors >&2; } 3>&1 || status=$?
  ((status != 77)) || { leave_out "$stage_name" "$(tail -n 1 build/stage_errors)" && return 0; }
  return "$status"
}

# Stages that were left out stand with ctest's last lines.
run_suite() {
  local names tests=()
  if $quick; then tests=(-LE attack); fi
  printf -v names '%s; ' "${left_out[@]}"
  ctest --preset release -j "$jobs" --no-tests=error "${tests[@]}" |
    awk -v names="${names%; }" '/^[0-9]+% tests passed/ && names != "" {print "Stages left out: " names} {print}'
}

if $quick; then
  stage "set-up" tools/setup.sh --test
else
  stage "set-up" tools/setup.sh --test --check --cross
fi
use_ccache
stage "release build, $jobs jobs" build release
if ! $quick; then
  stage "format" check_format
  stage "clang-tidy" run_tidy
  stage "sanitizer build" build asan
  stage "sanitizer suite" run_sanitizers
  stage "fuzz, 10 s a target" tools/fuzz.sh 10
  if command -v nvcc >/dev/null; then
    stage "cuda build" build_cuda
    stage "libraries that cuda needs" check_needed_libraries
    stage "cuda without a GPU" check_without_gpu
    stage "report on the CUDA kernels" report_kernels
  else
    leave_out "cuda build" "no nvcc"
  fi
  stage "kernels for 64-bit ARM" unless_skipped tools/cross.sh --compile
  # Another Debian, compiler and FFmpeg, and nothing installed.
  if [[ -z ${MCN_FRESH-} ]]; then
    stage "fresh trixie" unless_skipped tools/fresh.sh trixie 'tools/test.sh --quick'
  else
    leave_out "fresh trixie" "this is a fresh root already"
  fi
fi

stage_name="release suite"
echo "== $stage_name"
run_suite

#!/usr/bin/env bash
# Builds the fuzz targets and runs them, two at a time: tools/fuzz.sh [SECONDS [TARGET...]]
#   SECONDS  seconds for each target, 30 by default
#   TARGET   video, index, splits, csv, lists, shards, safetensors, tensors, torch, checkpoint, metrics or config;
#            all by default
# Collected inputs stay in build-fuzz/corpus. An input that causes a fault goes to build-fuzz/reproducers. Its path is
# printed. build-fuzz/fuzz_TARGET FILE repeats the fault. Exit status 0 only if no fault was found.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1-}" in
  --help | -h)
    sed -n '2,7s/^# //p' "$0"
    exit 0
    ;;
esac
seconds=${1:-30}
[[ $seconds =~ ^[0-9]+$ ]] || { echo "usage: tools/fuzz.sh [SECONDS [TARGET...]]" >&2 && exit 2; }
shift || true

cmake --preset fuzz
cmake --build --preset fuzz -j "$(tools/jobs.sh)"
if [[ ! build-fuzz/seeds -nt tests/fuzz/make_corpus.sh ]]; then
  rm -rf build-fuzz/seeds build-fuzz/seeds.new
  tests/fuzz/make_corpus.sh build-fuzz/seeds.new
  mv build-fuzz/seeds.new build-fuzz/seeds
  touch build-fuzz/seeds
fi

targets=("$@")
if ((${#targets[@]} == 0)); then
  for file in build-fuzz/fuzz_*; do
    [[ -x $file && -f $file ]] && targets+=("${file#build-fuzz/fuzz_}")
  done
fi
for target in "${targets[@]}"; do
  [[ -x build-fuzz/fuzz_$target ]] || { echo "fuzz: no target $target" >&2 && exit 2; }
done

export ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
# Not on a disk, which would be what is measured; what a target that crashed leaves there goes, too.
[[ ! -w /dev/shm ]] || export TMPDIR=/dev/shm
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

run_target() {
  local target=$1 corpus="build-fuzz/corpus/$1" log="build-fuzz/logs/$1"
  mkdir -p "$corpus" build-fuzz/logs build-fuzz/reproducers
  # Some seconds for one input are a hang; more than a few GiB, a header that was believed.
  if "build-fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=65536 \
    -artifact_prefix="build-fuzz/reproducers/$target-" "$corpus" "build-fuzz/seeds/$target" >"$log" 2>&1; then
    echo "fuzz: $target: nothing found: $(grep -E '^#[0-9]+\s+DONE' "$log")"
  else
    grep -vE '^#[0-9]|NEW_FUNC' "$log" | tail -n 60 >&2
    echo "fuzz: $target: FOUND $(sed -n 's/.*Test unit written to //p' "$log"), all of its output in $log" >&2
    return 1
  fi
}

status=0
running=0
for target in "${targets[@]}"; do
  if ((running == 2)); then
    wait -n || status=1
    running=1
  fi
  run_target "$target" &
  running=$((running + 1))
done
for ((; running > 0; --running)); do wait -n || status=1; done
exit "$status"

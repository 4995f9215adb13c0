#!/usr/bin/env bash
# Builds the fuzz targets and runs each of them: tools/fuzz.sh [SECONDS [TARGET...]]
#   SECONDS  for each target, 30 unless it is said
#   TARGET   video, splits, ...; all unless it is said
# What they learn stays in build-fuzz/corpus, findings in build-fuzz/findings. Exit status 0 only without findings.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1-}" in
  --help | -h)
    sed -n '2,5s/^# //p' "$0"
    exit 0
    ;;
esac
seconds=${1:-30}
[[ $seconds =~ ^[0-9]+$ ]] || { echo "usage: tools/fuzz.sh [SECONDS [TARGET...]]" >&2 && exit 2; }
shift || true

cmake --preset fuzz
cmake --build --preset fuzz -j "$(tools/jobs.sh)"
[[ -d build-fuzz/seeds ]] || tests/fuzz/make_corpus.sh build-fuzz/seeds

targets=("$@")
if ((${#targets[@]} == 0)); then
  for file in build-fuzz/fuzz_*; do
    [[ -x $file && -f $file ]] && targets+=("${file#build-fuzz/fuzz_}")
  done
fi

export ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
status=0
for target in "${targets[@]}"; do
  corpus="build-fuzz/corpus/$target" findings="build-fuzz/findings/$target"
  mkdir -p "$corpus" "$findings"
  echo "fuzz: $target, $seconds s"
  # Some seconds for one input are a hang; more than a few GiB, a header that was believed.
  if ! "build-fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=65536 \
    -verbosity=0 -print_final_stats=1 -artifact_prefix="$findings/" "$corpus" "build-fuzz/seeds/$target"; then
    echo "fuzz: FINDING of $target, kept in $findings" >&2
    status=1
  fi
done
exit "$status"

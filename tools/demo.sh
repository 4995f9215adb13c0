#!/usr/bin/env bash
# A small experiment in one command: tools/demo.sh. Builds mcn, writes videos of figures that perform actions, trains on
# them without labels by the contrastive branch alone and by MCN, and measures how well both networks tell the actions.
# All files go to demo/. The output of every step goes to demo/log. A second run uses the same videos again.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1-}" in
  "") ;;
  --help | -h)
    sed -n '2,4s/^# //p' "$0"
    exit 0
    ;;
  *)
    echo "usage: tools/demo.sh" >&2
    exit 2
    ;;
esac
# mcn gets Ctrl-C as well, and is waited for: it writes its checkpoint first.
trap 'echo "demo: interrupted" >&2; exit 130' INT

mkdir -p demo
: >demo/log

# One line a step: what it does and how long it took. Its output is in the log, and shown if it fails.
step() {
  local name=$1 start=$SECONDS status=0 lines
  shift
  printf '%s ... ' "$name"
  lines=$(wc -l <demo/log)
  "$@" >>demo/log 2>&1 || status=$?
  if ((status != 0)); then
    echo "failed; the end of demo/log:"
    tail -n "+$((lines + 1))" demo/log | tail -n 20
    exit "$status"
  fi
  echo "$((SECONDS - start)) s"
}

build() {
  # The tests are not needed here; a build folder that has them keeps them.
  [[ -f build/build.ninja ]] || cmake --preset release -DMCN_WERROR=OFF -DMCN_BUILD_TESTS=OFF -DMCN_BUILD_BENCHMARKS=OFF
  cmake --build build --target mcn -j "$(tools/jobs.sh)"
}

videos=demo/videos
synth=(synth --classes 8 --train 640 --test 320 --seed 1)
# The videos get their name when they are complete; their settings lie beside them.
make_videos() {
  [[ ! -d $videos || $(cat "$videos.settings" 2>/dev/null) != "${synth[*]}" ]] || return 0
  rm -rf "$videos" "$videos.part" "$videos.settings"
  build/mcn "${synth[@]}" --out "$videos.part"
  mv "$videos.part" "$videos"
  echo "${synth[*]}" >"$videos.settings"
}

train() {
  build/mcn train --data "$videos" --out "demo/$1" --preset tiny --method "$1"
  build/mcn evaluate --data "$videos" --checkpoint "demo/$1/last.safetensors" --clips 4 --json "demo/$1/evaluation.json"
}

# figure RUN KEY: of the linear probe; with "random" as the run, of random weights.
figure() {
  awk -v run="$1" -v key="\"$2\":" '
    /^ "/ { protocol = $1 }
    /^  "/ { inside = $1 == "\"random\":" ? "random" : "" }
    protocol == "\"linear\":" && $1 == key && inside == (run == "random" ? "random" : "") { printf "%.1f\n", $2; exit }
  ' "demo/$([[ $1 == random ]] && echo mcn || echo "$1")/evaluation.json"
}
row() {
  printf '%-18s %5s%%  (%s to %s)\n' "$1" "$(figure "$2" value)" "$(figure "$2" low)" "$(figure "$2" high)"
}

step "libraries" tools/setup.sh
step "build" build
step "640 training and 320 test videos of 8 actions" make_videos
step "contrastive branch alone, 1,000 iterations" train contrastive
step "MCN, 1,000 iterations" train mcn
step "report" build/mcn report demo/contrastive demo/mcn --out demo/report.html

echo
echo "Linear probe, accuracy on test videos (95% interval), chance 12.5%:"
row "random weights" random
row "contrastive alone" contrastive
row "MCN" mcn
echo
awk -v mcn="$(figure mcn value)" -v low="$(figure mcn low)" -v high="$(figure mcn high)" \
  -v random="$(figure random value)" -v random_high="$(figure random high)" \
  -v other="$(figure contrastive value)" -v other_low="$(figure contrastive low)" \
  -v other_high="$(figure contrastive high)" 'BEGIN {
  if (low > random_high) printf "MCN learned: its probe is %.1f points above random weights", mcn - random
  else printf "MCN did not learn: its interval reaches that of random weights"
  if (low > other_high) print ", and above the contrastive branch alone."
  else if (high < other_low) print ", and below the contrastive branch alone."
  else print "; one seed does not separate it from the contrastive branch alone."
}'
echo "Curves of both: demo/report.html"

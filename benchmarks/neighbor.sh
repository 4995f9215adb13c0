#!/usr/bin/env bash
# Measures how much longer a training step takes on two cores while another process keeps one thread busy.
# benchmarks/neighbor.sh [MCN...]
#   MCN  commands to compare, one row each; build/mcn by default. They take turns, three rounds each.
# A scheduler that shares two cores fairly among three threads gives at least 1.5. The bound of this project is 2.2.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1-} == --help || ${1-} == -h ]]; then
  sed -n '2,5s/^# //p' "$0"
  exit 0
fi
(($# > 0)) || set -- build/mcn
rounds=3
two_cores=$(taskset -cp $$ | sed 's/.*: //' | awk -v RS=, -F- '{for (i = $1; i <= ($2 == "" ? $1 : $2); ++i) print i + 0}' |
  head -n 2 | paste -sd,)
[[ $two_cores == *,* ]] || { echo "neighbor: expected two cores, this process may use only $two_cores" >&2 && exit 4; }

neighbor=""
stop_neighbor() {
  [[ -z $neighbor ]] || kill "$neighbor"
  neighbor=""
}
trap stop_neighbor EXIT

# Seconds of each of four steps, one a line.
steps() {
  taskset -c "$two_cores" "$1" bench step --batch 2 --frames 8 --size 112 --threads 2 --runs 4 2>&1 >/dev/null |
    sed -n 's/^run .*: \([0-9.]*\) s$/\1/p'
}
median() { sort -n | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }

results=$(mktemp -d)
trap 'stop_neighbor; rm -r "$results"' EXIT
for ((round = 0; round < rounds; ++round)); do
  for mcn; do
    steps "$mcn" >>"$results/alone${mcn//\//_}"
    taskset -c "$two_cores" sh -c 'while :; do :; done' &
    neighbor=$!
    steps "$mcn" >>"$results/beside${mcn//\//_}"
    stop_neighbor
    wait
  done
done

echo "| command | alone, s | beside a busy process, s | ratio |"
echo "| --- | --- | --- | --- |"
for mcn; do
  alone=$(median <"$results/alone${mcn//\//_}")
  beside=$(median <"$results/beside${mcn//\//_}")
  awk -v m="$mcn" -v a="$alone" -v b="$beside" 'BEGIN {printf "| `%s` | %.3f | %.3f | %.2f |\n", m, a, b, b / a}'
done

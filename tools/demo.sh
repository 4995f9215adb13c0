#!/usr/bin/env bash
# The main job in one command: builds mcn, writes synthetic videos, trains on them, and evaluates the network on unseen
# videos, beside the same network with random weights. tools/demo.sh
# Everything goes to demo/; a second run uses the same videos again.
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

tools/setup.sh
# The tests are not needed here; a build folder that has them keeps them.
[[ -f build/build.ninja ]] || cmake --preset release -DMCN_WERROR=OFF -DMCN_BUILD_TESTS=OFF -DMCN_BUILD_BENCHMARKS=OFF
cmake --build build --target mcn -j "$(tools/jobs.sh)"

synth=(synth --scene shapes --classes 4 --train 960 --test 600 --seed 1)
videos=demo/videos
mkdir -p demo
# The videos get their name when they are complete; their settings lie beside them.
if [[ -d $videos && $(cat "$videos.settings" 2>/dev/null) == "${synth[*]}" ]]; then
  echo "demo: using the videos of an earlier run, $videos"
else
  rm -rf "$videos" "$videos.part" "$videos.settings"
  build/mcn "${synth[@]}" --out "$videos.part"
  mv "$videos.part" "$videos"
  echo "${synth[*]}" >"$videos.settings"
fi

rm -rf demo/run
build/mcn train --config tools/demo.toml --data "$videos" --out demo/run

build/mcn evaluate --clips 4 --checkpoint demo/run/last.safetensors --data "$videos"

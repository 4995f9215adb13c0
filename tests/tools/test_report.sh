#!/usr/bin/env bash
# A report in headless Chromium: test_report.sh MCN [FOLDER for the screenshots]. It must draw every chart and show every
# picture, at the widths of a desktop and a phone, in light and dark, without a message on the console. The page's own
# policy forbids every request; one that is tried is such a message. Exits with 77 where Chromium is missing.
set -euo pipefail

mcn=$1
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [[ -z $browser ]]; then
  echo "skipped: there is no Chromium"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
shots=${2:-$folder}

# Two runs: one of 700 iterations, one that was killed.
for run in one "two & more"; do
  mkdir "$folder/$run"
  awk -v iterations="$([[ $run == one ]] && echo 700 || echo 40)" 'BEGIN {
    for (i = 0; i < iterations; ++i)
      printf "{\"iteration\":%d,\"loss_query\":%g,\"loss_support\":%g,\"top1_query\":%g,\"top1_chance\":0.125,\"seconds\":%g," \
             "\"learning_rate\":%g,\"gradient_norm\":%g,\"update_ratio\":{\"stem\":%g,\"heads\":0.002}}\n",
             i, 3 * exp(-i / 200) + sin(i) / 5, 3 * exp(-i / 250), 1 - exp(-i / 300), 1 + sin(i) / 10, 0.01 * exp(-i / 400),
             20 * exp(sin(i)), 0.001 * (2 + sin(i)) }' > "$folder/$run/metrics.jsonl"
  printf 'lr=%s\niterations=700\nbatch=8\nmethod="mcn"\n' ${#run} > "$folder/$run/config.toml"
done
printf '{"iteration":40,"loss_qu' >> "$folder/two & more/metrics.jsonl"
cat > "$folder/one/evaluation.json" <<'END'
{"retrieval": {"value": 41.5, "low": 38, "high": 45, "chance": 12.5, "r5": 80, "random": {"value": 20, "low": 17, "high": 23}}}
END
cat > "$folder/one/finetune.json" <<'END'
{"top1": {"value": 70, "low": 60, "high": 80, "chance": 33.3}, "classes": ["walk", "run", "<jump>"],
 "confusion": [[7, 2, 1], [1, 8, 1], [2, 2, 6]],
 "epochs": [{"epoch": 0, "train_accuracy": 0.4, "validation_accuracy": 0.3}, {"epoch": 1, "train_accuracy": 0.8, "validation_accuracy": 0.6}]}
END
# A third one with videos.
"$mcn" synth --out "$folder/videos" --classes 4 --train 24 --test 12 --frames 12 --height 48 --width 64 &> /dev/null
"$mcn" train --data "$folder/videos" --out "$folder/three" --arch r2plus1d_10 --width 0.07 --size 32 --frames 4 --batch 8 \
  --bank none --iterations 8 --residual-view --index-cache "" &> "$folder/train.log" ||
  { cat "$folder/train.log"; exit 1; }
cp "$folder/three/report.html" "$folder/three.html"
"$mcn" report "$folder/one" --out "$folder/one.html" &> /dev/null
"$mcn" report "$folder/one" "$folder/two & more" --out "$folder/both.html" &> /dev/null

chromium() {
  timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
    --user-data-dir="$folder/profile" --enable-logging=stderr --virtual-time-budget=2000 "$@" 2> "$folder/messages"
  if grep CONSOLE "$folder/messages"; then
    echo "expected no message on the console, got these, from $*"
    exit 1
  fi
}

for page in one both three; do
  chromium --dump-dom "file://$folder/$page.html" > "$folder/dom"
  plots=$(grep -c 'class="plot"' "$folder/dom")
  drawn=$(grep -c 'class="plot"[^>]*><svg' "$folder/dom")
  curves=$(grep -o '<path class="curve"' "$folder/dom" | wc -l)
  if ((plots < 5 || drawn != plots || curves < plots)) ||
    grep -o '<svg viewBox.*</svg>' "$folder/dom" | grep -E 'NaN|undefined|Infinity'; then
    echo "$page: expected all of $plots charts drawn, with $plots curves or more and numbers alone; got $drawn, $curves"
    exit 1
  fi
  for width in 1280 390; do
    for scheme in dark light; do
      shot=$shots/$page-$width-$scheme.png
      chromium --window-size=$width,1600 --blink-settings=preferredColorScheme=$([[ $scheme == dark ]] && echo 0 || echo 1) \
        --screenshot="$shot" "file://$folder/$page.html"
      if [[ ! -s $shot ]]; then
        echo "there is no screenshot $shot"
        exit 1
      fi
    done
  done
  echo "$page: $plots charts, $curves curves"
done
# A run left out of the charts, smoothing turned off, and a key pressed on the first chart, which shows the last values:
# 1 - exp(-699 / 300) = .9027.
sed 's|^</body>|<script>document.querySelectorAll("input[type=checkbox]")[1].click(); const slider = document.getElementById("smoothing");\
slider.value = 0; slider.dispatchEvent(new Event("input")); const plot = document.querySelector(".plot"); plot.focus();\
plot.dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));</script></body>|' "$folder/both.html" > "$folder/used.html"
chromium --dump-dom "file://$folder/used.html" > "$folder/dom"
curves=$(grep -o '<path class="curve"' "$folder/dom" | wc -l)
if ! grep -qE 'class="tip".*iteration 698</b><div><i[^>]*></i>one: 90\.[0-9]%[^<]*</div></div>' "$folder/dom" ||
  ! grep -q '<div id="spoken" role="status">iteration 698; one: 90' "$folder/dom" || grep -q '<path class="raw"' "$folder/dom" || ((curves != 9)); then
  echo "expected the first run's values alone, at its end and not smoothed, got $curves curves and"
  grep -o 'class="tip".*' "$folder/dom" || true
  exit 1
fi
# The pictures: three strips for each of 4 training videos, and 12 queries with 5 neighbors each, all of them moving until
# the box is cleared, and from the start only where nobody asks for less motion. With the keyboard on the map: the first
# video, then the second class. What the script finds is put into the page.
cat > "$folder/look.js" <<'END'
const state = () => {
  const all = document.getAnimations(), box = document.getElementById("animate");
  return `${all.filter(a => a.playState === "running").length} of ${all.length} run, ${box.checked}`;
};
const key = name => document.querySelector(".map").dispatchEvent(new KeyboardEvent("keydown", { key: name }));
const pressed = () => [...document.querySelectorAll(".legend [aria-pressed=true]")].map(b => b.textContent).join();
addEventListener("load", () => {
  const found = [], box = document.getElementById("animate"), images = [...document.querySelectorAll(".strip img")];
  found.push(`strips ${images.filter(i => i.naturalWidth > 0 && i.naturalHeight === +i.getAttribute("height")).length}`);
  found.push(state());
  const first = document.querySelector(".gallery .strip img").getAnimations()[0], image = first.effect.target;
  first.currentTime = 140 * 2 + 10;  // the third frame
  const frames = +getComputedStyle(image).getPropertyValue("--n");
  const moved = -new DOMMatrix(getComputedStyle(image).transform).f / image.getBoundingClientRect().height;
  found.push(`frame ${Math.round(moved * frames * 1000) / 1000}`);
  box.focus();
  found.push(`focus ${document.activeElement.id}`);
  box.click();
  found.push(state());
  key("ArrowRight");
  found.push(document.querySelector(".map .tip").textContent === document.getElementById("spoken").textContent);
  found.push(document.querySelector(".map .tip").textContent);
  key("ArrowDown"); key("ArrowDown");
  found.push(`class ${pressed()}, ${document.querySelectorAll(".map.chosen path.of-class").length} points`);
  key("Escape");
  found.push(`class ${pressed()}`);
  document.body.dataset.found = found.join("|");
});
END
sed "s|^</body>|<script>$(sed 's/[&|\\]/\\&/g; s|//.*||' "$folder/look.js" | tr '\n' ' ')</script></body>|" "$folder/three.html" > "$folder/look.html"
expect_found() {
  local found
  found=$(grep -o 'data-found="[^"]*"' "$folder/dom" || true)
  if [[ $found != *"$1"* ]]; then
    echo "expected $1, got $found"
    exit 1
  fi
}
chromium --dump-dom "file://$folder/look.html" > "$folder/dom"
expect_found 'data-found="strips 84|84 of 84 run, true|frame 2|focus animate|0 of 84 run, false|true|Walk; v_'
expect_found '|class Jump, 3 points|class "'
chromium --force-prefers-reduced-motion --dump-dom "file://$folder/look.html" > "$folder/dom"
expect_found 'data-found="strips 84|0 of 84 run, false|frame 2|focus animate|84 of 84 run, true|'
for part in 'class="matrix"' '<li class="right">' '<li class="wrong">' 'view 2, differences' '<td>[A-Z][a-z]* (right)</td>'; do
  if ! grep -q "$part" "$folder/three.html"; then
    echo "expected $part on the page with pictures"
    exit 1
  fi
done
if (($(stat -c %s "$folder/three.html") > 3000000)); then
  echo "the page with pictures is larger than it should be"
  exit 1
fi
# Light and dark differ.
! cmp -s "$shots/one-390-dark.png" "$shots/one-390-light.png"

#!/usr/bin/env bash
# Installs into an empty folder, moves that, and runs what is there: test_install.sh CMAKE BUILD_FOLDER VERSION
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$1" --install "$2" --component runtime --prefix "$folder/first" >"$folder/log"
mv "$folder/first" "$folder/moved"
cd "$folder/moved"
find . -type f | sort

# Nothing of the build's folder, nor of the first one, is needed.
mcn=(env -i HOME="$folder" bin/mcn)
text=$("${mcn[@]}" --version)
echo "$text"
[[ $text == "mcn $3 ("* && $text == *"FFmpeg  "* && $text == *"cpu ("* ]]
"${mcn[@]}" devices
"${mcn[@]}" synth --out videos --classes 2 --train 4 --test 2 --frames 8 --height 32 --width 32
"${mcn[@]}" inspect "$(find videos -name '*.avi' -o -name '*.mp4' | sed 1q)"

cmp <("${mcn[@]}" completion bash) share/bash-completion/completions/mcn
cmp <("${mcn[@]}" completion zsh) share/zsh/site-functions/_mcn
[[ -s share/doc/mcn/README.md && -s share/doc/mcn/LICENSE ]]
# README links to these by relative paths.
[[ -s share/doc/mcn/docs/train.md && -s share/doc/mcn/docs/images/report_videos.png ]]
# Manual pages come with help2man: all or none.
if [[ -d share/man ]]; then
  for command in "" $("${mcn[@]}" --help | sed -n '/^Subcommands:/,$s/^  \([a-z]\+\) .*/-\1/p') -bench-step; do
    grep -q '^\.SH OPTIONS' "share/man/man1/mcn$command.1"
  done
  grep -q 'objective' share/man/man1/mcn-train.1
fi
[[ $(find . -path ./videos -prune -o -type f -print | grep -vcE '^./(bin/mcn|share/(doc/mcn|man/man1|bash-completion|zsh)/.*)$') == 0 ]]

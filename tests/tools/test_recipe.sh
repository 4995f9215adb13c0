#!/usr/bin/env bash
# Runs the commands of docs/data.md for UCF101: bash test_recipe.sh MCN DATA_MD
# Needs no network: a stand-in for curl creates a file for each address, and one for unar a folder of synthetic videos.
set -euo pipefail
mcn=$(realpath "$1") page=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HOME=$folder
unset XDG_CACHE_HOME

recipe=$(sed -n '/^UCF101, from download to training/,/^[^U ]/p' "$page")
commands=$(grep '^    ' <<<"$recipe")
echo "$commands"
# A newcomer has only this program and the packages that the page lists.
packages=$(grep -oP 'sudo apt install \K[^`]+' <<<"$recipe")
for program in $(sed 's/&&/\n/g' <<<"$commands" | awk '{print $1}' | sort -u); do
  [[ $program == build/mcn || " $packages " == *" $program "* ]] || { echo "no package for $program" >&2 && exit 1; }
done

mkdir programs build
ln -s "$mcn" build/mcn
cat >programs/curl <<'END'
#!/bin/sh
for word; do case $word in https://*) touch "${word##*/}" ;; esac; done
END
cat >programs/unar <<'END'
#!/bin/sh
[ "$1" = -D ] && [ -f "$2" ] || exit 1
case $2 in
  UCF101.rar) mkdir UCF-101 && for class in made/*/; do [ "$class" = made/ucfTrainTestlist/ ] || cp -r "$class" UCF-101; done ;;
  UCF101TrainTestSplits-RecognitionTask.zip) cp -r made/ucfTrainTestlist . ;;
  *) exit 1 ;;
esac
END
chmod +x programs/*
build/mcn synth --out made --classes 2 --train 48 --test 2 --frames 20 --height 32 --width 32
PATH=$folder/programs:$PATH bash -euxc "$(sed '/mcn train/s/$/ --dry-run/' <<<"$commands")" | tee log
grep -q 'ucf101: 50 videos listed, 50 decoded, 0 missing' log
grep -q '^peak' log

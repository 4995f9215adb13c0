#!/usr/bin/env bash
# Writes the fuzzers' first inputs: tests/fuzz/make_corpus.sh FOLDER. A folder for each target; needs ffmpeg and tar.
set -euo pipefail
out=$1
mkdir -p "$out"/{video,index,splits,csv,lists,shards,safetensors,tensors,checkpoint,torch,config,metrics}

video() {
  local name=$1
  shift
  ffmpeg -v error -nostdin -y -f lavfi -i testsrc2=s=16x16:r=25 -frames:v 6 -threads 1 -fflags +bitexact \
    -flags:v +bitexact "$@" "$out/video/$name" || echo "make_corpus: no $name" >&2
}
video h264.mp4 -c:v libx264 -bf 2 -g 3
video fragments.mp4 -c:v libx264 -bf 2 -g 3 -movflags frag_keyframe+empty_moov
video h264.mkv -c:v libx264 -bf 2 -g 3
video h264.ts -c:v libx264 -bf 2 -g 3
video h264.264 -c:v libx264 -bf 2 -g 3 -f h264
video hevc.mp4 -c:v libx265 -s 32x32 -preset ultrafast -x265-params log-level=none:pools=1:keyint=3
video mpeg4.avi -c:v mpeg4 -bf 2 -g 3
video mpeg4.mov -c:v mpeg4 -bf 1 -g 3
video msmpeg4.avi -c:v msmpeg4 -g 3
video mjpeg.avi -c:v mjpeg -pix_fmt yuvj420p
video cinepak.avi -c:v cinepak
video mpeg1.mpg -c:v mpeg1video -bf 2 -g 3
video mpeg2.ts -c:v mpeg2video -bf 2 -g 3
video vp8.webm -c:v libvpx -cpu-used 8 -g 3
video vp9.webm -c:v libvpx-vp9 -cpu-used 8 -g 3
video theora.ogv -c:v libtheora -g 3
video flv1.flv -c:v flv -g 3
video ffv1.mkv -c:v ffv1 -pix_fmt yuv420p10le
video palette.gif
video raw.y4m

# Numbers of 8 bytes, little-endian, and texts behind their lengths, as data/index_cache.cpp writes them.
number() { printf "\\x$(printf %02x "$1")\\0\\0\\0\\0\\0\\0\\0"; }
{
  for text in avi mpeg4 yuv420p bt601 tv; do
    number ${#text}
    printf %s "$text"
  done
  # Size, frames, keyframes, B-frames, rotation, damage, other sizes, the header's frames, may_skip; rate and seconds.
  for n in 16 16 2 1 0 0 0 0 2 1 0 0; do number $n; done
  # Orientation, no fingerprint, two packets, one key.
  for n in 0 0 0 0 2 0 1 1 0 0 48 0 0 99; do number $n; done
} >"$out/index/packets"

# A tensor of four floats as torch.save names it, in a dict, and a nested dict with half the tensor, twice.
tensor='ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0%sX\3\0\0\0cpuK\20tQK\0(K\2K\2t(K\2K\1t\211ccollections\nOrderedDict\n)RtR'
# shellcheck disable=SC2059
printf "\\200\\2}q\\1X\\1\\0\\0\\0a$tensor""s." 0 >"$out/torch/tensor"
# shellcheck disable=SC2059
printf "\\200\\2}(X\\1\\0\\0\\0a}(X\\1\\0\\0\\0b$tensor""q\\1X\\1\\0\\0\\0ch\\1uX\\5\\0\\0\\0epochK\\7u." 1 >"$out/torch/nested"

classes='1 Archery\n2 HandstandPushups\n'
printf "$classes"'\0Archery/v_Archery_g01_c01.avi 1\nArchery/v Archery 7.avi 1\n\0HandstandPushups/v_HandStandPushups_g01_c01.avi\n' \
  >"$out/splits/labels"
printf "$classes"'\0Archery/v_Archery_g01_c01.avi\r\n\r\n\0HandstandPushups/v_HandstandPushups_g01_c01.avi 2  \n' \
  >"$out/splits/windows"
printf '2 Archery\n1 HandstandPushups\n\0Archery/v_Archery_g01_c01.avi 1\n\0' >"$out/splits/disagrees"
printf '#20_clap_u_nm_np1_fr_goo_0.avi 1 \na 2.avi 2 \n\0b.avi 1 \n\0c.avi 0 \nd.avi 2 \n' >"$out/splits/hmdb51"
printf 'a 2.avi 1\r\n\0b.avi 2\r\nc.avi 1\r\n\0gone.avi 1\r\n' >"$out/splits/hmdb51_faults"

header='label,youtube_id,time_start,time_end,split\n'
printf "$header"'yoga,z,1,11,train\nriding a bike,-y,10.0,20.0,train\n\0'"$header"'yoga,v,123,133,validate\n' \
  >"$out/csv/usual"
printf '\xef\xbb\xbfyoutube_id, time_start ,time_end,"label",is_cc\r\nx,1,11,"riding a bike",0\r\n\r\n"z",2,"12","a ""b"", c",1' \
  >"$out/csv/quoted"
printf 'label,youtube_id\nyoga,z\n\0label,youtube_id\nyoga,v\n' >"$out/csv/short"
printf "$header"'yoga,x,1,11,train\nyoga,z,1,11,test\n' >"$out/csv/one_for_all"

printf 'a.mp4 0\nb/two words.avi\t2 \nb/ends in 3.avi   1\n3 4\0./b/two words.avi 0\n' >"$out/lists/usual"
printf '\xef\xbb\xbf a.mp4 0\r\n\r\n3 99999\r\n\0gone.mp4 1\n' >"$out/lists/windows"

# A member a pair of arguments: its name and its content.
shard() {
  local name=$1 format=$2 folder names=()
  folder=$(mktemp -d)
  shift 2
  while (($# > 0)); do
    mkdir -p "$(dirname "$folder/$1")"
    printf "$2" >"$folder/$1"
    names+=("$1")
    shift 2
  done
  tar --format="$format" --blocking-factor=1 --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$folder" \
    -cf "$out/shards/$name" "${names[@]}"
  rm -r "$folder"
}
shard cls ustar a.mp4 video a.cls 3 b.avi more b.cls '0\n'
shard json pax b/a.left.mp4 left b/a.json '{"label": 2, "id": "a"}'
shard gnu gnu "$(printf 'long%.0s' {1..30}).webm" video "$(printf 'long%.0s' {1..30}).cls" 1
shard pax pax "$(printf 'long%.0s' {1..30})/$(printf 'name%.0s' {1..30}).mkv" '' \
  "$(printf 'long%.0s' {1..30})/$(printf 'name%.0s' {1..30}).cls" 1
shard old v7 a.mp4 video a.cls 0
gzip -nc "$out/shards/old" >"$out/shards/compressed"
printf 'train-{0..3}{a,,b}.tar' >"$out/shards/pattern"
printf 'train-{000..0}.tar' >"$out/shards/pattern_of_one"

# 8 bytes of length, little-endian, then JSON, then data.
tensors() {
  local name=$1 header=$2 data=$3
  printf "\\x$(printf %02x ${#header})\\0\\0\\0\\0\\0\\0\\0%s" "$header" >"$out/safetensors/$name"
  printf "$data" >>"$out/safetensors/$name"
}
tensors one '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' '\0\0\x80\x3f\0\0\0\x40'
tensors two '{"__metadata__":{"k":"v"},"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[2,1],"data_offsets":[8,10]}}' \
  '\0\0\0\0\0\0\0\x01ab'
tensors none '{}' ''
# The targets tensors and checkpoint make their own first inputs, whose checksums no shell computes.

# metrics.jsonl, evaluations.jsonl, bad_videos.jsonl, evaluation.json, finetune.json, config.toml.
plain() { printf '{"iteration":%s,"loss_query":1.5}\n' "$@"; }
metrics_line() {
  printf '{"batch":4,"iteration":%s,"time":"2026-01-01T00:00:00Z","epoch":0.5,"seconds":2.5,"waited_share":0.25,' "$1"
  printf '"loss_query":%s,"loss_support":null,"top1_query":0.5,"top1_chance":0.25,"embedding_std":0.1,"bad_videos":1,' "$2"
  printf '"update_ratio":{"stem":1e-3,"layer1":2e-3},"alpha1":{"stem":0.01,"<b>":0.02},"order":2,"<i>\\"&":3}\n'
}
evaluation_line() {
  local measure='"value":0.5,"low":0.25,"high":0.75,"chance":0.1'
  printf '{"iteration":%s,"best":%s,"gallery_videos":8,"query_videos":4,"seconds":1.5,' "$1" "$2"
  printf '"knn":{%s},"linear":{%s}}\n' "$measure" "$measure"
}
evaluation='{"retrieval":{"value":50,"low":25,"high":75,"chance":10,"r5":60,"map":40,"random":{"value":10,"low":5,"high":20},
"by_class":{"<b>":{"value":1,"chance":2}}},"knn":{"value":50},"linear":{"value":null}}'
finetuning='{"top1":{"value":50,"low":25,"high":75,"random":{}},"classes":["a","<b>","\u00e9"],"confusion":[[2,1,0],[0,0,1],[3,4,5]],
"epochs":[{"epoch":0,"train_accuracy":0.5,"validation_accuracy":0.25},{"epoch":1,"train_accuracy":0.75}]}'
settings='data = "videos"\nbatch=4\niterations=9\nmethod="mcn"\nout = "run <1>"\n'
{
  metrics_line 0 1.5
  metrics_line 1 1e3
  plain 2 3 4 5 6
  printf '\0'
  evaluation_line 0 false
  evaluation_line 2 true
  evaluation_line 6 true
  printf '\0{"iteration":1,"video":"a.mp4","error":"[video] a.mp4: \\u0000"}\n{"iteration":6,"video":"b","error":""}\n'
  printf '\0%s\0%s\0%b' "$evaluation" "$finetuning" "$settings"
} >"$out/metrics/usual"
{
  plain 3 1 1 0
  printf 'not JSON\n{"iteration":2}\n{"iteration":-1,"loss_query":1.5}\n{"iteration":4,"loss_query":[1]}\n\xff\n'
  printf '{"iteration":4,"time":"2026-01-01T00:00:00Z","epo'
  printf '\0'
  evaluation_line 5 true
  evaluation_line 1 true
  printf '{"iteration":2,"best":0,"knn":{"value":1},"linear":{"value":1}}\n'
} >"$out/metrics/damaged"

printf 'data = "videos"\nformat = "list"\nout = "run"\narch = "r2plus1d_10"\nwidth = 0.25\norder = 2\nmilestones = [1, 2, 3]\nresidual-view = true\n' \
  >"$out/config/usual"
printf '# a comment\ndata="v"\nformat="ucf101"\nout='"'run'"'\nlr=1e-3\ninner-tape="recompute"\nseed=7\nmilestones=[]\nflip=0.5' \
  >"$out/config/others"
printf 'data = "v"\nformat = "webdataset"\nout = "r"\ntrain-files = ["a-{0..3}.tar", "b.tar"]\ncuda-graph = false\n' \
  >"$out/config/files"
printf 'data = "set#1" # a comment: don'"'"'t\nformat = "list"\nout = '"'r#2'"'\nmilestones = [1, # one\n2]\n' >"$out/config/comments"
printf '[section]\ndata = "v"\nx.y = 1\nmulti = """\na\n"""\n' >"$out/config/sections"

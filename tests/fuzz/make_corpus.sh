#!/usr/bin/env bash
# Writes the fuzzers' first inputs: tests/fuzz/make_corpus.sh FOLDER. A folder for each target; needs ffmpeg.
set -euo pipefail
out=$1
mkdir -p "$out"/{video,splits,safetensors,config}

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

classes='1 Archery\n2 HandstandPushups\n'
printf "$classes"'\0Archery/v_Archery_g01_c01.avi 1\nArchery/v Archery 7.avi 1\n\0HandstandPushups/v_HandStandPushups_g01_c01.avi\n' \
  >"$out/splits/labels"
printf "$classes"'\0Archery/v_Archery_g01_c01.avi\r\n\r\n\0HandstandPushups/v_HandstandPushups_g01_c01.avi 2  \n' \
  >"$out/splits/windows"
printf '2 Archery\n1 HandstandPushups\n\0Archery/v_Archery_g01_c01.avi 1\n\0' >"$out/splits/disagrees"

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

printf 'data = "videos"\nout = "run"\narch = "r2plus1d_10"\nwidth = 0.25\norder = 2\nmilestones = [1, 2, 3]\nresidual-view = true\n' \
  >"$out/config/usual"
printf '# a comment\ndata="v"\nout='"'run'"'\nlr=1e-3\ninner-tape="recompute"\nseed=7\nmilestones=[]\nflip=0.5' \
  >"$out/config/others"
printf '[section]\ndata = "v"\nx.y = 1\nmulti = """\na\n"""\n' >"$out/config/sections"

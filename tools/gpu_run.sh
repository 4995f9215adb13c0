#!/usr/bin/env bash
# Runs a bundle of tools/gpu_bundle.sh: gpu_run.sh [--out DIR] [--minutes N] [STAGE...]
#   host  the tests on cpu, ref and simt, which need no GPU
#   a     the device and its peak rates, the tests on cuda, memcheck
#   b     kernels at batch 32, compared with cuDNN and cuBLAS
#   c     whole steps at batch 32, compared with PyTorch
#   d     counters of six kernels, racecheck and synccheck, the same bits, CUDA graphs, a short training
# Without STAGE it runs all stages, host last on a machine with a GPU. Each task has a time limit and a line in
# DIR/results.jsonl (DIR: $OUT, or out). A call ends after N minutes (9). The next call skips the finished tasks.
# Exit status: 0 all tasks passed; 1 a check failed; 2 usage; 3 the time was over; 4 no usable GPU.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${OUT:-out}
minutes=9
stages=()

usage() {
  echo "usage: gpu_run.sh [--out DIR] [--minutes N] [host|a|b|c|d ...]" >&2
  exit 2
}

while (($# > 0)); do
  case "$1" in
    --help | -h)
      sed -n '2,10s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --out | --minutes)
      (($# > 1)) || usage
      if [[ $1 == --out ]]; then out=$2; else minutes=$2; fi
      shift
      ;;
    host | a | b | c | d) stages+=("$1") ;;
    *) usage ;;
  esac
  shift
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || usage
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
cd "$here" || exit 2

deadline=$((SECONDS + 60 * minutes))
results=$out/results.jsonl
log=$out/log.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
touch "$results"
export MCN_TEST_DATA=$here
python=${MCN_PYTHON:-python3}
# The libraries that PyTorch would use, wherever that Python is.
if [[ -z ${MCN_CUDA_LIBRARIES-} ]]; then
  MCN_CUDA_LIBRARIES=$("$python" -c 'import glob, sys
print(":".join(found for folder in sys.path if folder for found in glob.glob(folder + "/nvidia/*/lib")))' 2>/dev/null)
  export MCN_CUDA_LIBRARIES
fi

# What a task writes there: JSON objects, a line each; a line for people.
export FIGURES=$scratch/figures HEADLINE=$scratch/headline

# A JSON string of the text's printable ASCII.
json_string() {
  printf '"%s"' "$(tr -cd '\40-\176' <<<"$1" | sed 's/["\\]/\\&/g')"
}

# Text of results.jsonl that holds a task's row.
row_of() {
  grep -F "{\"stage\": \"$1\", \"name\": \"$2\", " "$results" | tail -n 1
}

# record STAGE NAME STATUS SECONDS: the row, with what the task left. Of a task that was cut short, whole lines count.
record() {
  local figures headline
  figures=$(sed -n '/^{.*}$/p' "$FIGURES" 2>/dev/null | paste -sd ',' -)
  headline=$(head -n 1 "$HEADLINE" 2>/dev/null | cut -c 1-300)
  printf '{"stage": "%s", "name": "%s", "status": "%s", "seconds": %s, "note": %s, "figures": [%s]}\n' \
    "$1" "$2" "$3" "$4" "$(json_string "$headline")" "$figures" >>"$results"
  printf '   %-8s %-28s %5s s  %s\n' "$3" "$2" "$4" "$headline"
}

not_run=() # "STAGE NAME WHY"
fault=""   # why there is no GPU
# task STAGE NAME LIMIT COMMAND...: exit status 0 is ok, 77 skipped, 124 and 137 the limit. Only what fits is begun.
task() {
  local stage=$1 name=$2 limit=$3 start status=0 word
  shift 3
  [[ -z $(row_of "$stage" "$name") ]] || return 0
  if [[ $stage != host && -n $fault ]]; then
    not_run+=("$stage $name no usable GPU")
    return 0
  fi
  if ((SECONDS + limit > deadline)); then
    not_run+=("$stage $name no time left")
    return 0
  fi
  rm -f "$FIGURES" "$HEADLINE"
  start=$SECONDS
  timeout --kill-after 5 "$limit" bash -c '"$@"' task "$@" >"$scratch/output" 2>&1 </dev/null || status=$?
  case $status in
    0) word=ok ;;
    77) word=skipped ;;
    124 | 137) word=timeout ;;
    *) word=failed ;;
  esac
  if [[ ! -s $HEADLINE && $word != ok ]]; then
    sed '/^[[:space:]]*$/d; /^=*$/d' "$scratch/output" | tail -n 1 >"$HEADLINE"
  fi
  {
    echo "== $stage/$name: $word"
    tail -c 60000 "$scratch/output"
  } >>"$log"
  record "$stage" "$name" $word $((SECONDS - start))
}

# --- what tasks run; each in a shell of its own

# tests NAME SPEC...: a test program, all of whose chosen cases pass, and there are some.
tests() {
  local name=$1 passed
  shift
  "./test_$name" "$@" | tee "$scratch/tests"
  [[ ${PIPESTATUS[0]} == 0 ]] || {
    grep -E '^(test cases|assertions):' "$scratch/tests" | paste -sd ' ' - >"$HEADLINE"
    return 1
  }
  passed=$(sed -n 's/^All tests passed (\([0-9]*\) assertions\{0,1\} in \([0-9]*\) test cases\{0,1\})$/\1 \2/p' "$scratch/tests")
  [[ -n $passed ]] || return 1
  echo "{\"assertions\": ${passed% *}, \"cases\": ${passed#* }}" >"$FIGURES"
  echo "${passed#* } cases, ${passed% *} assertions" >"$HEADLINE"
}

devices() {
  ./mcn devices | tee "$scratch/devices"
  ./mcn gradcheck --device cpu --quick | tail -n 1 | tee "$HEADLINE"
  return "${PIPESTATUS[0]}"
}

gpu_state() {
  local fields=name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu,power.draw
  ./mcn devices
  nvidia-smi --query-gpu=$fields --format=csv,noheader --id=0 | tee "$HEADLINE"
  [[ ${PIPESTATUS[0]} == 0 ]] || return 1
  awk -F', ' -v fields=$fields '{
    n = split(fields, names, ","); line = "{"
    for (i = 1; i <= n; ++i) line = line (i > 1 ? ", " : "") "\"" names[i] "\": \"" $i "\""
    print line "}" }' "$HEADLINE" >"$FIGURES"
}

# The fields of bench_gpu's rows, one to a line: family case number flops bytes own_ms peer peer_ms, with tabs.
kernel_rows() {
  sed -n 's/.*"family":"\([^"]*\)","case":"\([^"]*\)","number":"\([^"]*\)","flops":\([^,]*\),"bytes":\([^,]*\),"own_ms":\([^,]*\),"peer":"\([^"]*\)","peer_ms":\([^,]*\),.*/\1\t\2\t\3\t\4\t\5\t\6\t\7\t\8/p'
}

# bench ARGUMENTS...: the rows are the figures; how we stand beside the peer, by kind of number, is the line.
bench() {
  local status=0
  ./bench_gpu "$@" --json "$FIGURES" || status=$?
  kernel_rows <"$FIGURES" | awk -F'\t' '
    { ++rows }
    $6 + 0 > 0 && $8 + 0 > 0 { sum[$3] += log($8 / $6); ++count[$3] }
    END {
      printf "%d rows", rows
      for (number in sum) printf ", %s %.2fx", number, exp(sum[number] / count[number])
      print (length(sum) > 0 ? " (the peer'"'"'s time over ours, geometric mean)" : "")
    }' >"$HEADLINE"
  return $status
}

# step ARGUMENTS...: the last line of mcn bench, or of the PyTorch peer, is the figures.
step() {
  "$@" | tee "$scratch/step"
  [[ ${PIPESTATUS[0]} == 0 ]] || return 1
  tail -n 1 "$scratch/step" >"$FIGURES"
  sed 's/.*"seconds_median": \{0,1\}\([^,}]*\).*"peak_\(tensors\|memory\)_gib": \{0,1\}\([^,}]*\).*/\1 \3/' "$FIGURES" |
    awk 'NF == 2 { printf "%.4f s, %.2f GiB\n", $1, $2 }' >"$HEADLINE"
}

torch() {
  "$python" -c 'import torch, torchvision' 2>/dev/null || {
    echo "$python has no torch and torchvision" >"$HEADLINE"
    return 77
  }
  step "$python" torch_gpu.py "$@"
}

sanitize() {
  command -v compute-sanitizer >/dev/null || {
    echo "no compute-sanitizer here" >"$HEADLINE"
    return 77
  }
  compute-sanitizer --tool "$1" --error-exitcode 9 "${@:2}" | tee "$scratch/sanitizer"
  [[ ${PIPESTATUS[0]} == 0 ]] || return 1
  grep 'SUMMARY' "$scratch/sanitizer" | tail -n 1 >"$HEADLINE"
}

# The bits of a short training, three times, and by a CUDA graph.
same_bits() {
  local run theta first=""
  for run in 1 2 3 graph; do
    local way=()
    [[ $run != graph ]] || way=(--cuda-graph)
    ./mcn bench train --device cuda --iterations 6 --precision "$1" "${way[@]}" | tail -n 1 >"$scratch/run"
    [[ ${PIPESTATUS[0]} == 0 ]] || return 1
    tee -a "$FIGURES" <"$scratch/run"
    theta=$(sed -n 's/.*"theta":"\([0-9a-f]*\)".*/\1/p' "$scratch/run")
    [[ -n $theta ]] || return 1
    if [[ $theta != "${first:=$theta}" ]]; then
      echo "run $run has other bits than run 1: $theta, $first" >"$HEADLINE"
      return 1
    fi
  done
  echo "$first in three runs and by a CUDA graph" >"$HEADLINE"
}

graph_against_calls() {
  local way
  for way in "" --cuda-graph; do
    ./mcn bench train --device cuda --precision bf16 --iterations 30 $way | tail -n 1 | tee -a "$FIGURES"
    [[ ${PIPESTATUS[0]} == 0 ]] || return 1
  done
  sed 's/.*"seconds_median":\([^,]*\),.*/\1/' "$FIGURES" | paste -sd ' ' - |
    awk '{ printf "call by call %.4f s, by a graph %.4f s an iteration\n", $1, $2 }' >"$HEADLINE"
}

# What cannot be learned in random frames is which they are; InfoNCE asks for just that.
short_training() {
  ./mcn bench train --device cuda --precision bf16 --iterations 200 --batch 16 | tail -n 1 | tee "$FIGURES"
  [[ ${PIPESTATUS[0]} == 0 ]] || return 1
  sed 's/.*"first_loss":\([^,]*\),"last_loss":\([^,]*\),.*/\1 \2/' "$FIGURES" |
    awk '{ printf "loss %.3f, then %.3f\n", $1, $2; exit !($2 < $1) }' >"$HEADLINE"
}

metrics=gpu__time_duration.sum,sm__throughput.avg.pct_of_peak_sustained_elapsed
metrics+=,sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active,dram__throughput.avg.pct_of_peak_sustained_elapsed
metrics+=,lts__t_sectors.avg.pct_of_peak_sustained_elapsed,sm__warps_active.avg.pct_of_peak_sustained_active
# counters FILTER KERNEL: of the third launch of our own kernel; bench_gpu also runs the peer's.
counters() {
  local status=0
  command -v ncu >/dev/null || {
    echo "no ncu here" >"$HEADLINE"
    return 77
  }
  ncu --csv --page raw --metrics $metrics --kernel-name-base demangled --kernel-name "regex:mcn.*$2" --launch-skip 2 \
    --launch-count 1 ./bench_gpu --batch 32 --runs 1 --filter "$1" >"$scratch/ncu" || status=$?
  cat "$scratch/ncu"
  if grep -q ERR_NVGPUCTRPERM "$scratch/ncu"; then
    echo "the driver lets only root read the counters (ERR_NVGPUCTRPERM)" >"$HEADLINE"
    return 77
  fi
  ((status == 0)) || return $status
  grep '^"' "$scratch/ncu" >>"$out/ncu.csv"
  # The names, the units, the values.
  grep '^"' "$scratch/ncu" | sed 's/^"//; s/"$//' | awk -F'","' '
    NR == 1 { for (i = 1; i <= NF; ++i) names[i] = $i }
    NR == 3 { line = "{"
      for (i = 1; i <= NF; ++i) if (names[i] == "Kernel Name" || names[i] ~ /__/) {
        gsub(/,/, names[i] ~ /__/ ? "" : ",", $i)
        line = line (line == "{" ? "" : ", ") "\"" names[i] "\": \"" $i "\""
      }
      print line "}" }' >"$FIGURES"
  sed 's/[{}"]//g; s/Kernel Name: [^,]*, //' "$FIGURES" | tail -n 1 >"$HEADLINE"
  [[ -s $FIGURES ]]
}

export python here out scratch metrics
export -f tests devices gpu_state kernel_rows bench step torch sanitize same_bits graph_against_calls short_training counters

# --- the stages, the most valuable task first

stage_host() {
  local name
  task host devices 60 devices
  for name in kernels engine models simt ops meta; do
    task host "test_$name" 200 tests "$name" "~[cuda]~[slow]"
  done
}

small_cases="cuda equals ref on every operator's small cases"
stage_a() {
  local name
  task a device 60 gpu_state
  task a ceilings 60 bench --ceilings --runs 20
  for name in kernels ops engine meta; do
    task a "test_$name" 150 tests "$name" "cuda *"
  done
  task a memcheck-ops 240 sanitize memcheck ./test_ops "$small_cases"
  task a memcheck-tensor-cores 240 sanitize memcheck ./test_kernels "cuda has tensor-core convolutions*"
}

stage_b() {
  local layer
  for layer in layer1.0.conv1.0.0 layer1.0.conv1.0.3 layer2.1.conv1.0.0 stem.3 stem.0 layer2.0.conv1.0.0 layer2.1.conv1.0.3 \
    layer2.0.conv1.0.3 layer3.1.conv1.0.0 layer3.1.conv1.0.3 layer4.1.conv1.0.0 layer4.1.conv1.0.3; do
    task b "$layer" 90 bench --batch 32 --runs 10 --filter "/r2plus1d_18/$layer/"
  done
  task b info_nce 60 bench --batch 32 --runs 10 --filter info_nce
  task b gemm 60 bench --runs 20 --filter gemm/
}

stage_c() {
  local number
  for number in bf16 tf32 fp32; do
    task c "step-$number" 60 step ./mcn bench step --device cuda --batch 32 --precision $number --runs 10
  done
  task c torch-step-eager-bf16 60 torch step --number bf16 --channels-last
  task c torch-step-compiled-bf16 150 torch step --number bf16 --channels-last --compile
  task c torch-step-eager-tf32 60 torch step --number tf32 --channels-last
  for number in bf16 tf32 fp32; do
    task c "meta-$number" 60 step ./mcn bench meta --device cuda --way 32 --frames 16 --precision $number --runs 5
    task c "torch-meta-$number" 90 torch meta --number $number
  done
  task c torch-step-compiled-tf32 150 torch step --number tf32 --channels-last --compile
  task c torch-step-eager-fp32 60 torch step --number fp32
  task c torch-step-eager-bf16-contiguous 60 torch step --number bf16
}

stage_d() {
  local map
  for map in fprop dgrad wgrad; do
    task d "ncu-$map-spatial" 60 counters "conv3d_$map/r2plus1d_18/layer1.0.conv1.0.0/bf16" conv
  done
  task d ncu-fprop-temporal 60 counters "conv3d_fprop/r2plus1d_18/layer1.0.conv1.0.3/bf16" conv
  task d ncu-norm-forward 60 counters "batch_norm_forward/r2plus1d_18/layer1.0.conv1.0.1" batch_norm
  task d ncu-norm-vjp 60 counters "batch_norm_vjp/r2plus1d_18/layer1.0.conv1.0.1" batch_norm
  task d same-bits-bf16 60 same_bits bf16
  task d same-bits-fp32 60 same_bits fp32
  task d training 90 short_training
  task d graph 60 graph_against_calls
  task d racecheck 240 sanitize racecheck ./test_ops "$small_cases"
  task d synccheck 180 sanitize synccheck ./test_ops "$small_cases"
  task d racecheck-tensor-cores 240 sanitize racecheck ./test_kernels "cuda has tensor-core convolutions*"
}

fault=$(./mcn devices | sed -n 's/^cuda .*; not here: //p')
if ((${#stages[@]} == 0)); then
  stages=(a b c d host)
  [[ -z $fault ]] || stages=(host a b c d)
fi
needs_gpu=false
for stage in "${stages[@]}"; do
  if [[ $stage != host && -n $fault ]]; then
    needs_gpu=true
    echo "== $stage: not run, needs a GPU: $fault"
  else
    echo "== $stage"
  fi
  "stage_$stage"
done

# --- the summary: for people, and one JSON file

count() {
  grep -c "\"status\": \"$1\"" "$results"
}
{
  cat BUNDLE.txt 2>/dev/null
  sed 's/^{"stage": "\([^"]*\)", "name": "\([^"]*\)", "status": "\([^"]*\)", "seconds": \([0-9]*\), "note": "\(\([^"\\]\|\\.\)*\)".*/\1\t\2\t\3\t\4\t\5/' \
    "$results" | awk -F'\t' 'BEGIN { printf "%-5s %-34s %-8s %7s  %s\n", "stage", "task", "status", "seconds", "" }
      { gsub(/\\"/, "\"", $5); printf "%-5s %-34s %-8s %7s  %s\n", $1, $2, $3, $4, $5 }'
  sed 's/},{/}\n{/g' "$results" | kernel_rows | awk -F'\t' '
    NR == 1 { printf "\n%-19s %-42s %-5s %10s %16s %-7s %10s %7s\n", "kernel", "case", "number", "ms", "rate", "peer", "ms", "ratio" }
    { rate = $6 + 0 > 0 ? ($4 > 0 ? sprintf("%.0f GFLOP/s", $4 / $6 * 1e-6) : sprintf("%.0f GB/s", $5 / $6 * 1e-6)) : "wrong"
      printf "%-19s %-42s %-5s %10.4f %16s", $1, $2, $3, $6, rate
      if ($8 + 0 > 0) printf " %-7s %10.4f %6.2fx", $7, $8, $8 / $6
      print "" }
    END { if (NR > 0) print "" }'
  for entry in "${not_run[@]}"; do
    read -r stage name why <<<"$entry"
    printf '%-5s %-34s not run  %s\n' "$stage" "$name" "$why"
  done
  echo "$(count ok) ok, $(count failed) failed, $(count timeout) past their time, $(count skipped) skipped, ${#not_run[@]} not run"
} >"$out/summary.txt"
echo
cat "$out/summary.txt"
{
  printf '{"bundle": %s,\n "fault": %s,\n "not_run": [' "$(json_string "$(paste -sd ';' BUNDLE.txt 2>/dev/null)")" \
    "$(json_string "$fault")"
  separator=""
  for entry in "${not_run[@]}"; do
    read -r stage name why <<<"$entry"
    printf '%s\n  {"stage": "%s", "name": "%s", "why": "%s"}' "$separator" "$stage" "$name" "$why"
    separator=","
  done
  printf '],\n "rows": [\n%s]}\n' "$(sed '$!s/$/,/' "$results")"
} >"$out/summary.json"

if (($(count failed) + $(count timeout) > 0)); then exit 1; fi
if $needs_gpu; then exit 4; fi
if ((${#not_run[@]} > 0)); then exit 3; fi

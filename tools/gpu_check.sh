#!/usr/bin/env bash
# Runs all checks that need a GPU, in one command: tools/gpu_check.sh [STAGE...]
# Builds a bundle for the GPU of this machine (tools/gpu_bundle.sh), and runs it (tools/gpu_run.sh, whose stages are
# host, a, b, c and d) until all tasks have run. Figures go to benchmarks/results/gpu-NAME.json. Exit status: 0; 1 a
# check failed; 2 usage; 4 no usable GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1-}" in
  --help | -h)
    sed -n '2,5s/^# //p' "$0"
    exit 0
    ;;
esac

no_gpu() {
  echo "gpu_check: no usable GPU: $*" >&2
  exit 4
}

command -v nvidia-smi >/dev/null || no_gpu "nvidia-smi is missing, and with it the driver"
gpu_name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || true
[[ -n $gpu_name ]] || no_gpu "nvidia-smi finds none"
command -v nvcc >/dev/null || no_gpu "nvcc is missing: the kernels cannot be built"

tools/gpu_bundle.sh --arch native
out=build-bundle/out
rm -rf "$out"
status=3
while ((status == 3)); do
  status=0
  build-bundle/bundle/gpu_run.sh --out "$out" "$@" || status=$?
done
if [[ -e $out/summary.json ]]; then
  mkdir -p benchmarks/results
  result="benchmarks/results/gpu-$(tr -cs '[:alnum:]\n' '-' <<<"$gpu_name" | sed 's/-$//').json"
  cp "$out/summary.json" "$result"
  echo "gpu_check: $gpu_name; figures in $result"
fi
exit "$status"

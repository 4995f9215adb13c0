#!/usr/bin/env bash
# Makes a folder that runs on a GPU machine with only a driver: tools/gpu_bundle.sh [--arch LIST] [--check] [OUT]
#   --arch LIST  CMake's list of architectures, or native (default: code for sm_80, sm_90 and sm_100, PTX for later ones)
#   --check      also runs the folder in a minimal root without a GPU and a network (tools/bundle_check.sh)
# Needs nvcc, but no GPU. OUT (default build-bundle/bundle) gets the command, tests, benchmarks, their libraries, and
# gpu_run.sh, which runs them. OUT.tar.xz has the same content. Both are at most 60 MiB.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  echo "gpu_bundle: $*" >&2
  exit 1
}

arch=""
check=false
out="build-bundle/bundle"
while (($# > 0)); do
  case "$1" in
    --arch)
      (($# > 1)) || die "--arch needs a list"
      arch=$2
      shift
      ;;
    --check) check=true ;;
    --help | -h)
      sed -n '2,6s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    -*) die "usage: tools/gpu_bundle.sh [--arch LIST] [--check] [OUT]" ;;
    *) out=${1%/} ;;
  esac
  shift
done
command -v nvcc >/dev/null || die "nvcc is missing: the kernels cannot be built"

tests=(test_kernels test_ops test_engine test_models test_meta test_simt)
programs=(mcn bench_gpu "${tests[@]}")
cmake --preset bundle ${arch:+"-DMCN_CUDA_ARCHITECTURES=$arch"}
cmake --build --preset bundle -j "$(tools/jobs.sh)" --target "${programs[@]}" mcn_fake

rm -rf "$out" "$out.tar.xz"
mkdir -p "$out/lib" "$out/tests" "$out/kernels"
build="build-bundle"
for program in "${programs[@]}"; do strip -o "$out/$program" "$build/$program"; done
strip -o "$out/libmcn_fake.so" "$build/libmcn_fake.so"

# Everything but glibc, which the machine has, of 2.36 or later.
toolkit=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
needed=$(for program in "${programs[@]}"; do LD_LIBRARY_PATH=$toolkit/lib64 ldd "$build/$program"; done)
! grep 'not found' <<<"$needed" || die "a library is missing"
sed -n 's/.* => \(\/.*\) (0x.*/\1/p' <<<"$needed" | sort -u |
  grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv|ld-linux[^/]*)\.so[^/]*$' |
  while read -r library; do
    strip -o "$out/lib/$(basename "$library")" "$library"
  done

# What tests read of the source tree.
cp -r tests/golden "$out/tests/"
cp -r engine "$out/"
cp -r kernels/cuda "$out/kernels/"
cp benchmarks/peers/torch_gpu.py tools/gpu_run.sh "$out/"

commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[[ -z $(git status --porcelain 2>/dev/null) ]] || commit+=", changed"
kib() { du -cLk "$@" | tail -n 1 | cut -f 1; }
{
  echo "commit $commit"
  echo "nvcc $(nvcc --version | sed -n 's/.*, V//p'), $(sed -n 's/^MCN_CUDA_ARCHITECTURES:[^=]*=//p' $build/CMakeCache.txt)"
  echo "needs glibc $(objdump -T "$out"/mcn "$out"/bench_gpu "$out"/test_* "$out"/lib/* | sed -n 's/.*(\{0,1\}GLIBC_\([0-9.]*\).*/\1/p' | sort -uV | tail -n 1)"
  for part in "${programs[@]}" lib tests engine kernels; do echo "$part $(kib "$out/$part") KiB"; done
} >"$out/BUNDLE.txt"
tar -C "$(dirname "$out")" -cJf "$out.tar.xz" "$(basename "$out")"

cat "$out/BUNDLE.txt"
size=$(kib "$out")
echo "gpu_bundle: $out is $size KiB, $out.tar.xz $(kib "$out.tar.xz") KiB"
((size <= 60 * 1024)) || die "$out is larger than 60 MiB"
if $check; then tools/bundle_check.sh "$out"; fi

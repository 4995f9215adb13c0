#!/usr/bin/env bash
# Runs the release build on emulated processors of x86-64-v2 and x86-64-v3: tools/levels.sh
# If the program uses an instruction that such a processor lacks, it ends. Needs qemu (tools/setup.sh --cross).
set -euo pipefail
cd "$(dirname "$0")/.."

if (($# > 0)); then
  sed -n '2,3s/^# //p' "$0"
  exit "$([[ $1 == --help || $1 == -h ]] && echo 0 || echo 2)"
fi
command -v qemu-x86_64-static >/dev/null || { echo "levels: qemu-x86_64-static is missing: tools/setup.sh --cross" >&2 && exit 1; }

# check PROCESSOR LEVEL
check() {
  local devices
  echo "== $1"
  devices=$(qemu-x86_64-static -cpu "$1" build/mcn devices)
  grep '^cpu ' <<<"$devices"
  grep -q "x86-64-$2 kernels" <<<"$devices" || { echo "levels: expected the level $2" >&2 && return 1; }
  qemu-x86_64-static -cpu "$1" build/test_kernels "[cpu]~[slow]~[system]"
}
check Nehalem v2
check Haswell v3

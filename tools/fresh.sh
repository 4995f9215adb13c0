#!/usr/bin/env bash
# Runs README's two commands as a newcomer would, on a Debian that has only git.
# tools/fresh.sh [--keep] SUITE [SCRIPT...]
#   SUITE   a Debian release, such as bookworm or trixie
#   SCRIPT  a command, quoted if it has options: 'tools/test.sh --quick'. Default: tools/demo.sh and tools/test.sh
#   --keep  keeps the root folder, and prints its path
# Installs the release into a new root folder (tools/debian_root.sh), clones the current commit into it, and runs each
# script there as root. Prints how long each step took.
# Exit status: 0 all scripts passed; 1 a script failed; 2 usage; 77 this machine cannot make such a root, nothing ran.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  echo "fresh: $1" >&2
  exit "${2-1}"
}

keep=false
while [[ ${1-} == -* ]]; do
  case "$1" in
    --keep) keep=true ;;
    --help | -h)
      sed -n '2,9s/^# //p' "$0"
      exit 0
      ;;
    *) die "unknown option $1; usage: tools/fresh.sh [--keep] SUITE [SCRIPT...]" 2 ;;
  esac
  shift
done
(($# > 0)) || die "usage: tools/fresh.sh [--keep] SUITE [SCRIPT...]" 2
suite=$1
shift
scripts=("$@")
(($# > 0)) || scripts=(tools/demo.sh tools/test.sh)

root=$(mktemp -d "${TMPDIR:-/tmp}/fresh-$suite-XXXXXX")
clean() {
  if $keep; then
    echo "fresh: the root folder is $root"
  else
    rm -rf --one-file-system "$root"
  fi
}
trap clean EXIT

step() {
  local name=$1 start=$SECONDS status=0
  shift
  echo "== $suite: $name"
  "$@" || status=$?
  local outcome=""
  ((status == 0)) || outcome=", FAILED with exit status $status"
  ((status != 77)) || outcome=", not possible here"
  echo "== $suite: $name: $((SECONDS - start)) s$outcome"
  return "$status"
}

# Mounts and processes belong to namespaces that end with the command, so that nothing is left behind.
inside() {
  local variables=(MCN_FRESH=1 HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8) name
  for name in http_proxy https_proxy no_proxy TERM CI; do
    [[ -z ${!name-} ]] || variables+=("$name=${!name}")
  done
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child bash -c '
    set -e
    mount --make-rprivate /
    mount -t proc proc "$0/proc"
    mount --rbind /sys "$0/sys"
    mount --rbind /dev "$0/dev"
    mount -t tmpfs tmpfs "$0/dev/shm"
    exec chroot "$0" env -i "${@:2}" bash -c "cd /srv/mcn; $1"' "$root" "$1" "${variables[@]}" </dev/null
}

step "debootstrap" tools/debian_root.sh "$suite" "$root" git || exit
[[ -z $(git status --porcelain --untracked-files=no 2>/dev/null) ]] ||
  echo "fresh: changes that are not committed are left out" >&2
git clone -q --no-hardlinks . "$root/srv/mcn"

failed=0
for script in "${scripts[@]}"; do
  step "$script" inside "$script" || failed=1
done
exit "$failed"

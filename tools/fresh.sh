#!/usr/bin/env bash
# Runs README's commands as a newcomer would, on a Debian that has nothing but git.
# tools/fresh.sh [--keep] SUITE [SCRIPT...]
#   SUITE   a Debian release, such as bookworm or trixie
#   SCRIPT  a command, quoted if it has options: 'tools/test.sh --quick'. Default: tools/demo.sh and tools/test.sh
#   --keep  leaves the root folder, and says where it is
# Installs the release into a new root folder with debootstrap, clones the current commit into it, and runs each script
# there, as root. The mirror is the one in this machine's apt sources. Prints how long each step took.
# Exit status: 0 all scripts passed; 1 one failed; 2 usage; 77 nothing was run: no mirror could be reached, or not root.
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
[[ $suite =~ ^[a-z]+$ ]] || die "expected the name of a Debian release, got \"$suite\"" 2
((EUID == 0)) || die "skipped $suite: debootstrap and chroot need root" 77

# Both formats of apt's sources; security updates lie elsewhere and are no mirror.
mirrors() {
  local files=(/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources)
  cat "${files[@]}" 2>/dev/null |
    sed -nE 's/^URIs:[[:space:]]*//p; s/^deb[[:space:]]+(\[[^]]*\][[:space:]]*)?([^[:space:]]+).*/\2/p' |
    tr -s '[:space:]' '\n' | grep -E '/debian/?$' | sort -u
}

command -v debootstrap >/dev/null || {
  apt-get -qq update || true
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends debootstrap >/dev/null ||
    die "skipped $suite: debootstrap is not installed, and apt-get could not install it" 77
}

root=$(mktemp -d "${TMPDIR:-/tmp}/fresh-$suite-XXXXXX")
chmod 755 "$root"
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
  echo "== $suite: $name: $((SECONDS - start)) s$( ((status == 0)) || echo ", FAILED with exit status $status")"
  return "$status"
}

install_release() {
  local mirror log="$root.log"
  for mirror in $(mirrors); do
    if debootstrap --variant=minbase --include=ca-certificates,git "$suite" "$root" "$mirror" >"$log" 2>&1; then
      rm "$log"
      return 0
    fi
    tail -n 3 "$log" >&2
    rm -rf --one-file-system "$root"
    mkdir -m 755 "$root"
  done
  rm -f "$log"
  return 77
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
    exec chroot "$0" env -i "${@:2}" bash -c "cd /root/mcn 2>/dev/null || cd /root; $1"' "$root" "$1" "${variables[@]}" </dev/null
}

step "debootstrap" install_release || die "skipped $suite: debootstrap reached no mirror of this machine's apt sources" 77
# What this machine needs to reach a network: names, and certificates that a proxy asks for.
cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
  chroot "$root" update-ca-certificates >/dev/null 2>&1
fi
# Nobody needs the folder after a crash of this machine, and waiting for the disk would take most of the time.
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
[[ -z $(git status --porcelain --untracked-files=no 2>/dev/null) ]] ||
  echo "fresh: changes that are not committed are left out" >&2
git clone -q --no-hardlinks . "$root/root/mcn"

failed=0
for script in "${scripts[@]}"; do
  step "$script" inside "$script" || failed=1
done
exit "$failed"

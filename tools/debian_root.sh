#!/usr/bin/env bash
# Installs a minimal Debian into a new folder: tools/debian_root.sh SUITE FOLDER [PACKAGE...]
#   SUITE    a Debian release, such as bookworm or trixie
#   PACKAGE  a package to install besides apt and the essential packages
# The mirror is one of this machine's apt sources. Exit status: 0; 2 usage; 77 this machine cannot make such a root.
set -euo pipefail

(($# >= 2)) || { echo "usage: tools/debian_root.sh SUITE FOLDER [PACKAGE...]" >&2 && exit 2; }
suite=$1 root=$2
shift 2
[[ $suite =~ ^[a-z]+$ ]] || { echo "debian_root: expected the name of a Debian release, got \"$suite\"" >&2 && exit 2; }

skip() {
  echo "debian_root: no $suite here: $1" >&2
  exit 77
}

((EUID == 0)) || skip "debootstrap and chroot need root"
command -v debootstrap >/dev/null || {
  apt-get -qq update || true
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends debootstrap >/dev/null ||
    skip "debootstrap is not installed, and apt-get could not install it"
}

# Both formats of apt's sources; security updates lie elsewhere and are no mirror.
mirrors() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -nE 's/^URIs:[[:space:]]*//p; s/^deb[[:space:]]+(\[[^]]*\][[:space:]]*)?([^[:space:]]+).*/\2/p' |
    tr -s '[:space:]' '\n' | grep -E '/debian/?$' | sort -u
}

include=$(IFS=, && echo "ca-certificates${*:+,$*}")
for mirror in $(mirrors); do
  rm -rf --one-file-system "$root"
  mkdir -p "$root"
  chmod 755 "$root"
  if debootstrap --variant=minbase --include="$include" "$suite" "$root" "$mirror" >"$root.log" 2>&1; then
    rm "$root.log"
    # What this machine needs to reach a network: names, and certificates that a proxy asks for.
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
      cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
      chroot "$root" update-ca-certificates >/dev/null 2>&1
    fi
    # Nobody needs the folder after a crash of this machine, and waiting for the disk would take most of the time.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    exit 0
  fi
  tail -n 3 "$root.log" >&2
done
rm -rf --one-file-system "$root" "$root.log"
skip "no mirror of this machine's apt sources could be reached"

#!/usr/bin/env bash
# Installs mcn's Debian package with apt into a root folder of Debian or Ubuntu, and runs a user's first commands there.
# tools/package_check.sh ROOT [PACKAGE.deb]
#   ROOT     a root folder (tools/fresh.sh makes one), or / for this machine; needs root's rights
#   PACKAGE  by default, the script builds one into build-package; build it on ROOT's release:
#              cmake --preset package && cmake --build --preset package --target package
set -euo pipefail
cd "$(dirname "$0")/.."
if (($# < 1 || $# > 2)) || [[ $1 == -* || ! -d $1/etc/apt ]]; then
  sed -n '2,6s/^# //p' "$0" >&2
  exit 2
fi
root=$1
package=${2-}
if [[ -z $package ]]; then
  tools/setup.sh --package
  cmake --preset package >/dev/null
  cmake --build --preset package --target package -j "$(tools/jobs.sh)"
  package=$(ls -t build-package/mcn_*.deb | sed 1q)
fi

# A minimal root's apt says that it has no terminal, unless told.
inside() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }

echo "== $package on $(inside sh -c '. /etc/os-release && echo "$PRETTY_NAME"')"
inside mkdir -p /tmp/mcn-check
trap 'inside rm -rf /tmp/mcn-check' EXIT
cp "$package" "$root/tmp/mcn-check/"
inside apt-get -qq update
inside apt-get -qq -o Dpkg::Use-Pty=0 install -y --reinstall --no-install-recommends \
  "/tmp/mcn-check/$(basename "$package")" >/dev/null
if grep -qF "$PWD/kernels/" "$root/usr/bin/mcn"; then
  echo "package_check: the command holds the path of the folder that it was built in" >&2
  exit 1
fi
# The machine's image may leave out manual pages: the package is what has to have them.
inside dpkg -L mcn | grep -q /usr/share/man/man1/mcn-train.1.gz
inside bash -euo pipefail -c '
  cd /tmp/mcn-check
  mcn --version
  mcn devices
  mcn synth --out v --classes 2 --train 8 --test 4 --frames 16 --height 64 --width 64
  mcn train --data v --out run --arch r2plus1d_10 --width 0.25 --frames 4 --size 32 --batch 4 --iterations 2 \
    --bank none | tail -n 2
  mcn evaluate --data v --checkpoint run/last.safetensors
  . /usr/share/bash-completion/completions/mcn
  COMP_WORDS=(mcn train --method j) COMP_CWORD=3
  _mcn
  test "$COMPREPLY" = joint
  ls -l /usr/share/zsh/vendor-completions/_mcn /usr/share/bash-completion/completions/mcn'
echo "== done"

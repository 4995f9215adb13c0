#!/usr/bin/env bash
# Runs a GPU bundle without a GPU, without a network and without installed packages: tools/bundle_check.sh [BUNDLE]
# In a minimal root of Debian 12 (tools/debian_root.sh; kept in build-bundle/root), the bundle must start, its tests on
# cpu, ref and simt must pass, and every stage that needs a GPU must end with exit status 4. Exit status: 0; 1 a check
# failed; 77 this machine cannot make such a root.
set -euo pipefail
cd "$(dirname "$0")/.."

bundle=${1:-build-bundle/bundle}
root=build-bundle/root
[[ -x $bundle/gpu_run.sh ]] || { echo "bundle_check: no bundle in $bundle; tools/gpu_bundle.sh makes it" >&2 && exit 1; }

if [[ ! -e $root/complete ]]; then
  tools/debian_root.sh bookworm "$root" || exit
  touch "$root/complete"
fi

rm -rf "$root/bundle" "$root/out"
cp -r "$bundle" "$root/bundle"
status=0
# shellcheck disable=SC2016  # the inner shell's
unshare --net --mount --pid --fork --kill-child bash -c \
  'mount -t proc proc "$1/proc" && exec chroot "$1" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root /bundle/gpu_run.sh --out /out' \
  check "$root" || status=$?
((status == 4)) || { echo "bundle_check: expected exit status 4 from gpu_run.sh, got $status" >&2 && exit 1; }
for stage in a b c d; do
  grep -q "\"stage\": \"$stage\", .*no usable GPU" "$root/out/summary.json" ||
    { echo "bundle_check: the summary does not list stage $stage as not run" >&2 && exit 1; }
done
echo "bundle_check: passed: without a GPU exit status 4, and what needs none has passed"

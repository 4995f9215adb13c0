#!/usr/bin/env bash
# Builds everything with each of several compilers and runs the suite: tools/compilers.sh [--build-only] COMPILER...
#   COMPILER      g++-13, clang++-19 and the like; installs its Debian package if it is missing
#   --build-only  does not run the suite
# Warnings are errors. Builds stay in build-compilers/COMPILER. Ends with a table of one row for each compiler.
# Exit status: 0 all built and passed; 1 a build or a suite failed; 2 usage.
set -euo pipefail
cd "$(dirname "$0")/.."

build_only=false
case "${1-}" in
  --help | -h)
    sed -n '2,6s/^# //p' "$0"
    exit 0
    ;;
  --build-only)
    build_only=true
    shift
    ;;
esac
(($# > 0)) || { echo "usage: tools/compilers.sh [--build-only] COMPILER..." >&2 && exit 2; }

tools/setup.sh --test
jobs=$(tools/jobs.sh)
failed=0
rows=()

# Prints its row; what the steps print goes to logs in the build folder.
try() {
  local compiler=$1 folder=build-compilers/$1 package=${1/clang++/clang} start
  mkdir -p "$folder"
  command -v "$compiler" >/dev/null ||
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$package" >"$folder/install.log" 2>&1 || {
    echo "not installed: apt-get has no $package"
    return 1
  }
  start=$SECONDS
  { cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" -DMCN_WERROR=ON &&
    cmake --build "$folder" -j "$jobs" -- -k 0; } >"$folder/build.log" 2>&1 || {
    echo "build failed with $(grep -cE '(error|warning):' "$folder/build.log") messages; see $folder/build.log"
    return 1
  }
  printf 'built in %d s' $((SECONDS - start))
  if $build_only; then
    echo
    return 0
  fi
  local status=0
  ctest --test-dir "$folder" -j "$jobs" --no-tests=error --output-on-failure >"$folder/suite.log" 2>&1 || status=1
  echo ", $(grep -E 'tests passed' "$folder/suite.log" || echo "no test ran")"
  return "$status"
}

for compiler; do
  echo "== $compiler"
  row=$(try "$compiler") || failed=1
  echo "$row"
  version=$("$compiler" -dumpfullversion -dumpversion 2>/dev/null) || version="?"
  rows+=("$(printf '%-12s %-8s %s' "$compiler" "$version" "$row")")
done

ffmpeg=$(pkg-config --modversion libavcodec)
echo
echo "CMake $(cmake --version | sed -n '1s/.* //p'), libavcodec $ffmpeg"
printf '%s\n' "${rows[@]}"
exit "$failed"

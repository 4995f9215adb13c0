#!/usr/bin/env bash
# The commit in `mcn --version`, in and out of git: test_commit.sh CMAKE SOURCE_FOLDER
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cmake=$1
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_CEILING_DIRECTORIES=$folder
unset GIT_DIR GIT_WORK_TREE

# expect TREE TEXT
expect() {
  "$cmake" -D SOURCE="$1" -D OUT="$folder/out.cpp" -P "$1/tools/packaging/commit.cmake"
  grep -qxF "const char* const build_commit = \"$2\";" "$folder/out.cpp" && return
  echo "$1: expected \"$2\" in" >&2
  cat "$folder/out.cpp" >&2
  exit 1
}

tree=$folder/tree
mkdir -p "$tree/tools/packaging"
cp "$2/tools/packaging/commit.cmake" "$tree/tools/packaging"
cp "$2/.gitattributes" "$tree"
expect "$tree" "unknown commit"

git=(git -C "$tree" -c user.name=name -c user.email=name@localhost)
"${git[@]}" init -q
"${git[@]}" add -A
"${git[@]}" commit -q -m first
commit=$("${git[@]}" rev-parse --short=12 HEAD)
expect "$tree" "$commit"
touch -d 2020-01-01 "$folder/out.cpp"
expect "$tree" "$commit"
[[ $(date -r "$folder/out.cpp" +%Y) == 2020 ]] || { echo "written again without a change" >&2 && exit 1; }
touch "$tree/untracked"
expect "$tree" "$commit"
"${git[@]}" worktree add -q --detach "$folder/worktree"
echo "# changed" >>"$tree/tools/packaging/commit.cmake"
expect "$tree" "$commit, changed"
expect "$folder/worktree" "$commit"

# A tree inside of somebody else's repository.
mkdir "$tree/inner"
mkdir "$tree/inner/tools" && cp -r "$2/tools/packaging" "$tree/inner/tools"
expect "$tree/inner" "unknown commit"

mkdir "$folder/archive"
"${git[@]}" archive HEAD | tar -x -C "$folder/archive"
expect "$folder/archive" "$("${git[@]}" log -1 --format=%h)"

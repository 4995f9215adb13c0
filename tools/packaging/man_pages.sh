#!/usr/bin/env bash
# Writes the manual pages of mcn and of each of its commands (mcn-train.1, ...) from their help texts.
# tools/packaging/man_pages.sh MCN FOLDER VERSION
set -euo pipefail

folder=$(realpath -m "$2") version=$3
cd "$(dirname "$1")"
# Defaults of options that name the user's home.
export HOME='~' PATH=$PWD:$PATH
unset XDG_CACHE_HOME

page() { # COMMAND..., such as mcn bench step
  local name description command
  name=$(IFS=- && echo "$*")
  # The first clause of what the help says.
  description=$("$@" --help | tr '\n' ' ' | sed -E 's/([.,;] | *Usage: ).*//')
  help2man --no-info --no-discard-stderr --version-string "$version" --name "$description" --output "$folder/$name.1" "$*"
  sed -i -E -e "s/^(\.TH) \S+ \"1\" (\"[^\"]*\") \"[^\"]*\"/\1 ${name^^} \"1\" \2 \"mcn $version\"/" \
    -e "/^\.SH NAME/{n;s/^$* /$name /}" "$folder/$name.1"
  for command in $("$@" --help | sed -n '/^Subcommands:/,$s/^  \([a-z]\+\) .*/\1/p'); do
    page "$@" "$command"
  done
}

mkdir -p "$folder"
rm -f "$folder"/mcn*.1
page mcn

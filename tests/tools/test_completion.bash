# Completes command lines by the script that `mcn completion bash` prints: bash test_completion.bash MCN
set -u
source <("$1" completion bash) || exit 1
failed=0

# What bash itself would add is seen, not done.
compopt() { COMPREPLY+=("compopt $*"); }

# expect REPLIES WORD...: the last word is the one to be completed.
expect() {
  local expected=$1
  shift
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
  _mcn
  [[ ${COMPREPLY[*]} == "$expected" ]] && return
  echo "$*: expected \"$expected\", got \"${COMPREPLY[*]}\"" >&2
  failed=1
}

[[ $(complete -p mcn) == "complete -F _mcn mcn" ]] || failed=1
expect train mcn tr
expect "--help --version" mcn -
expect meta mcn bench me
expect --max-open mcn bench decode --max
expect --objective mcn train --ob
expect "contrastive joint mcn" mcn train --method ""
expect joint mcn train --method jo
expect joint mcn train --method = jo
expect "contrastive joint mcn" mcn train --method =
expect "support+query" mcn train --method mcn --objective su
expect "bash zsh" mcn completion ""
expect "train" mcn help tra
expect "help" mcn hel
expect "" mcn train --lr ""
expect "compopt -o dirnames" mcn train --data ""
expect "compopt -o default" mcn train --resume ""
expect "compopt -o default" mcn train --train-files one two ""
expect "compopt -o default" mcn inspect --json ""
expect "compopt -o default" mcn bench decode --threads 2 ""
expect "--json" mcn inspect --j
# A value that is a command's name is no command.
expect --objective mcn train --out bench --ob
exit $failed

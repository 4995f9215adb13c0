# Types command lines into a zsh that has loaded what `mcn completion zsh` prints: zsh -f test_completion.zsh MCN
zmodload zsh/zpty || exit 1
failed=0

zpty shell zsh -f -i
zpty -w shell "PS1= PS2=; unset zle_bracketed_paste; cd ${(q)0:A:h}; autoload -U compinit; compinit -u -D
source <(${(q)1} completion zsh)
show() { print -r -- \"<\$BUFFER>\"; BUFFER= }; zle -N show; bindkey '^X' show; print REA''DY"
zpty -r -m shell output '*READY*' || exit 1

# expect LINE TEXT: what the line is once the key Tab has been pressed after the text.
expect() {
  local output
  zpty -w -n shell "$2"$'\t\x18'
  zpty -r -m shell output '*<*>*'
  output=${${output##*<}%%>*}
  [[ $output == "$1" ]] && return
  print -u2 -r -- "$2: expected \"$1\", got \"$output\""
  failed=1
}

expect 'mcn train ' 'mcn tr'
expect 'mcn bench decode ' 'mcn bench d'
expect 'mcn train --objective=' 'mcn train --ob'
expect 'mcn train --method joint ' 'mcn train --method j'
expect 'mcn train --method=joint ' 'mcn train --method=j'
expect 'mcn completion bash ' 'mcn completion b'
expect 'mcn inspect test_command.cpp ' 'mcn inspect test_comma'
expect 'mcn inspect --json test_command.cpp ' 'mcn inspect --json test_comma'
expect 'mcn train --data ../ops/' 'mcn train --data ../op'
exit $failed

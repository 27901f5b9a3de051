// What a shell runs when the user presses Tab. The three scripts do the same: they hand the words
// up to the cursor to `static-call __complete`, and let the shell complete files where it says
// nothing.

import { EXIT } from '../../base/fault.js';
import type { Context } from '../context.js';
import type { Shell } from '../shells.js';

export interface Flags {
  readonly json: boolean;
}

/** bash takes words alone; zsh and fish show beside each what it means. */
const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `_static_call() {
  local line
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do
    COMPREPLY+=("$line")
  done < <(static-call __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _static_call static-call`,
  zsh: `_static_call() {
  local word meaning
  local -a found
  while IFS=$'\\t' read -r word meaning; do
    found+=("\${word//:/\\\\:}:$meaning")
  done < <(static-call __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( $#found )); then _describe static-call found; else _files; fi
}
compdef _static_call static-call`,
  fish: `function __static_call_complete
  set -l words (commandline -opc)
  set -l found (static-call __complete $words[2..] (commandline -ct) 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c static-call -f -a '(__static_call_complete)'`,
};

export function run(context: Context, flags: Flags, shell: Shell): number {
  const script = SCRIPTS[shell];
  if (flags.json) context.json('static-call/completion@1', { shell, script });
  else context.print(script);
  return EXIT.good;
}

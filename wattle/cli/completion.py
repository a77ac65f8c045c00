"""Completion scripts: verbs and flags are in the script, names are asked for by `wattle _complete`."""

from __future__ import annotations

from wattle.cli.grammar import parser_for
from wattle.cli.words import SHELLS, VERBS, summary

_BASH = """\
_wattle() {
    local line="${COMP_LINE:0:COMP_POINT}" verb="" skip="" word
    local current="${line##* }"
    for word in ${line% *}; do
        if [ "$word" = wattle ] && [ -z "$verb$skip" ]; then continue; fi
        if [ -n "$skip" ]; then skip=""; continue; fi
        case "$word" in --home|--config) skip=1 ;; -*) ;; *) verb="$word"; break ;; esac
    done
    if [ -z "$verb" ]; then COMPREPLY=($(compgen -W "@VERBS@" -- "$current")); return; fi
    case "$current" in
        -*) case "$verb" in
@FLAGS@
            esac ;;
        *) COMPREPLY=($(compgen -W "$(wattle _complete "$verb" "$current" 2>/dev/null)" -- "$current"))
           if [ ${#COMPREPLY[@]} -eq 0 ]; then COMPREPLY=($(compgen -f -- "$current")); fi
           # bash breaks words at an @ and replaces only what follows it
           case "$COMP_WORDBREAKS$current" in *@*@*) COMPREPLY=("${COMPREPLY[@]#"${current%@*}@"}") ;; esac ;;
    esac
}
complete -o filenames -F _wattle wattle
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n" + _BASH
_FISH = """\
function __wattle_names
    set -l words (commandline -opc)
    wattle _complete $words[2] (commandline -ct) 2>/dev/null
end
complete -c wattle -f
@VERBS@
complete -c wattle -n 'not __fish_use_subcommand' -a '(__wattle_names)'
complete -c wattle -n '__fish_seen_subcommand_from run plan validate create import graph' -F
@FLAGS@
"""


def script(shell: str) -> str:
    """The completion script of `bash`, `zsh` or `fish`."""
    flags = {verb: [flag for flag in parser_for(verb).flags() if flag.startswith("--")] for verb in VERBS}
    assert shell in SHELLS
    if shell == "fish":
        verbs = "\n".join(f"complete -c wattle -n __fish_use_subcommand -a {verb} -d '{_quoted(summary(verb))}'"
                          for verb in VERBS)  # fmt: skip
        lines = "\n".join(f"complete -c wattle -n '__fish_seen_subcommand_from {verb}' -l {flag[2:]}"
                          for verb in VERBS for flag in flags[verb])  # fmt: skip
        return _FISH.replace("@VERBS@", verbs).replace("@FLAGS@", lines)
    cases = "\n".join(f'                {verb}) COMPREPLY=($(compgen -W "{" ".join(flags[verb])}" -- "$current")) ;;'
                      for verb in VERBS)  # fmt: skip
    text = _BASH if shell == "bash" else _ZSH
    return text.replace("@VERBS@", " ".join(VERBS)).replace("@FLAGS@", cases)


def _quoted(text: str) -> str:
    return text.replace("'", "")

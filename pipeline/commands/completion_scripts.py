"""The scripts that make a shell ask `transom completion --words` what may come next. Each is a few lines of glue.

The answer has a suggestion per line: the word, a tab, its meaning. A line that begins with a tab asks for files.
"""

from __future__ import annotations

BASH = r"""# Completes the arguments of transom in bash.
_transom() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == $'\t'* ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
        else
            COMPREPLY+=("${line%%$'\t'*}")
        fi
    done < <("${COMP_WORDS[0]/#\~/$HOME}" completion --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _transom transom
"""

ZSH = r"""#compdef transom
# Completes the arguments of transom in zsh.
_transom() {
    local line files
    local -a shown
    while IFS= read -r line; do
        if [[ $line == $'\t'* ]]; then
            files=1
        else
            shown+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        fi
    done < <("${words[1]/#\~/$HOME}" completion --words "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)
    (( $#shown )) && _describe -V transom shown
    [[ -n $files ]] && _files
}
if [[ $funcstack[1] == _transom ]]; then
    _transom "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _transom transom
fi
"""

FISH = r"""# Completes the arguments of transom in fish.
function __transom_suggestions
    set -l before (commandline -opc)
    set -l typed (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $before[1])
    for line in ($program completion --words $before[2..-1] "$typed" 2>/dev/null)
        if string match -q \t'*' -- $line
            __fish_complete_path "$typed"
        else
            echo $line
        end
    end
end
complete -c transom -f -a '(__transom_suggestions)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

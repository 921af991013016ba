//! `strongroom completions` prints the completion script for a shell.
//!
//! The script of clap knows the commands and their options. In bash, zsh and fish, a few lines more complete the names of secrets:
//! they ask `strongroom complete-names` first.

use clap::CommandFactory;
use clap_complete::Shell;

use super::failure::Failure;
use super::{Cli, output};

/// The arguments of `strongroom completions`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom completions bash > ~/.local/share/bash-completion/completions/strongroom

In bash, zsh and fish, the script also completes the names of secrets. It asks the service for those \
that you may list, and waits for 1 second at most.")]
pub(super) struct Completions {
    /// The shell that loads the script
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "strongroom", &mut script);
        let script = String::from_utf8(script).map_err(|_| Failure::local("the script is not text"))?;
        output::write(with_names(self.shell, script).as_bytes())
    }
}

/// The script, with what completes the names of secrets.
fn with_names(shell: Shell, script: String) -> String {
    match shell {
        Shell::Bash => script + BASH,
        // The function of this name is the one that the shell calls.
        Shell::Zsh => {
            const CALL: &str = "if [ \"$funcstack[1]\" = \"_strongroom\" ]";
            let script = script.replacen("_strongroom() {", "_strongroom_static() {", 1);
            script.replacen(CALL, &format!("{ZSH}\n{CALL}"), 1)
        }
        Shell::Fish => without_variables(&script) + FISH,
        _ => script,
    }
}

/// The script of clap for fish, in whose lists of values a `$` of a description would be a variable.
fn without_variables(script: &str) -> String {
    const VALUES: &str = " -a \"";
    let mut lists = script.split(VALUES);
    let mut changed = lists.next().unwrap_or_default().to_owned();
    for list in lists {
        changed.push_str(VALUES);
        let (mut inside, mut escaped) = (true, false);
        for c in list.chars() {
            inside = inside && (escaped || c != '"');
            if inside && c == '$' {
                changed.push('\\');
            }
            escaped = c == '\\' && !escaped;
            changed.push(c);
        }
    }
    changed
}

/// The words come from the line itself: bash would break them at `=` and `:`.
const BASH: &str = r#"
_strongroom_names() {
    local line=${COMP_LINE:0:COMP_POINT} words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    "$1" complete-names -- "${words[@]:1}" 2>/dev/null </dev/null
}

_strongroom_or_names() {
    local names
    names=$(_strongroom_names "$1")
    if [[ -n $names ]]; then
        COMPREPLY=($(compgen -W "$names" -- "${COMP_WORDS[COMP_CWORD]}"))
    else
        _strongroom "$@"
    fi
}

complete -F _strongroom_or_names -o bashdefault -o default strongroom
"#;

const ZSH: &str = r#"_strongroom() {
    local -a names
    names=(${(f)"$("${words[1]}" complete-names -- "${(@)words[2,CURRENT]}" 2>/dev/null </dev/null)"})
    if (( ${#names} )); then
        compadd -a names
    else
        _strongroom_static "$@"
    fi
}
"#;

const FISH: &str = r#"
function __strongroom_names
    set -l words (commandline -opc)
    $words[1] complete-names -- $words[2..] (commandline -ct) 2>/dev/null </dev/null
end

function __strongroom_finds_names
    set -g __strongroom_found (__strongroom_names)
    test (count $__strongroom_found) -gt 0
end

complete -c strongroom -f -n __strongroom_finds_names -a '$__strongroom_found'
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_values_for_fish_has_no_variables() {
        let script =
            "complete -d 'a \\'$ \\'' -a \"json\\t'\\'$ \\' \\\"$x'\nyaml\\t'$'\" -r\nset -l b \"$a\"\n";
        let expected = "complete -d 'a \\'$ \\'' -a \"json\\t'\\'\\$ \\' \\\"\\$x'\nyaml\\t'\\$'\" -r\nset -l b \"$a\"\n";
        assert_eq!(without_variables(script), expected);
    }

    #[test]
    fn the_scripts_of_three_shells_ask_for_names() {
        let script = |shell: Shell| {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "strongroom", &mut script);
            with_names(shell, String::from_utf8(script).unwrap())
        };
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            assert!(script(shell).contains("complete-names -- "), "{shell}");
        }
        // The function that zsh calls is the one that asks.
        assert_eq!(script(Shell::Zsh).matches("\n_strongroom() {").count(), 1);
    }
}

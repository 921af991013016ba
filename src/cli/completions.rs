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

In bash, zsh and fish, the script also completes the names of secrets. It asks the service for those
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
        Shell::Fish => script + FISH,
        _ => script,
    }
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

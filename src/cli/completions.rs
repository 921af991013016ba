//! `strongroom completions` prints the completion script for a shell.

use clap::CommandFactory;

use super::failure::Failure;
use super::{Cli, output};

/// The arguments of `strongroom completions`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom completions bash > ~/.local/share/bash-completion/completions/strongroom")]
pub(super) struct Completions {
    /// The shell that loads the script
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "strongroom", &mut script);
        output::write(&script)
    }
}

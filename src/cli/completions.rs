use clap::CommandFactory;

use super::failure::Failure;
use super::{Cli, output};

/// `strongroom completions`
#[derive(clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "strongroom", &mut script);
        output::write(&script)
    }
}

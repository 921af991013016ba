//! `strongroom man-pages` writes the manual pages: one for the program and one for each command. It is for packagers, so
//! the help does not list it; `make dist` runs it.

use std::path::PathBuf;

use clap::CommandFactory;

use super::Cli;
use super::failure::Failure;

/// The arguments of `strongroom man-pages`.
#[derive(clap::Args)]
pub(super) struct ManPages {
    /// The folder that the pages are written to; it must exist
    folder: PathBuf,
}

impl ManPages {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        clap_mangen::generate_to(command, &self.folder).map_err(|error| {
            Failure::local(format!(
                "the manual pages cannot be written to {}: {error}",
                self.folder.display()
            ))
        })
    }
}

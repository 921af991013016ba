//! `strongroom master-key` generates, rotates and inspects master keys.

mod generate;
mod rotate;
mod status;

use clap::Subcommand;

use super::connect::Connection;
use super::failure::Failure;
use super::output::Output;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Generate, rotate and inspect master keys\n\n\
The master key opens the store and its backups. A service generates one in its data folder when it starts for the first \
time. Use 'generate' if you keep the key elsewhere.";

/// The commands below `strongroom master-key`.
#[derive(Subcommand)]
pub(super) enum MasterKey {
    /// Generate a master key on this machine, without the service
    Generate(generate::Generate),
    /// Replace the master key by a new one while the service runs
    #[command(long_about = rotate::ABOUT)]
    Rotate(rotate::Rotate),
    /// Show the master key in use and the progress of its rotation
    #[command(after_help = "Example:\n  strongroom master-key status -o table")]
    Status,
}

impl MasterKey {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Generate(command) => command.run(),
            Self::Rotate(command) => command.run(connection, output).await,
            Self::Status => status::run(connection, output).await,
        }
    }
}

mod generate;
mod rotate;
mod status;

use clap::Subcommand;

use super::connect::Connection;
use super::failure::Failure;
use super::output::Output;

/// What its long help begins with.
pub(super) const ABOUT: &str = "\
Make, rotate and look at master keys\n\n\
The master key opens the store and its backups. The first start of a service makes one in its data folder; 'generate' is for \
a key that is to come from elsewhere.";

/// `strongroom master-key`
#[derive(Subcommand)]
pub(super) enum MasterKey {
    /// Make a new master key on this machine; no service is asked
    Generate(generate::Generate),
    /// Put a new master key into use, while the service goes on
    #[command(long_about = rotate::ABOUT)]
    Rotate,
    /// Show which master key is in use, and how far its rotation is
    Status,
}

impl MasterKey {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Generate(command) => command.run(),
            Self::Rotate => rotate::run(connection, output).await,
            Self::Status => status::run(connection, output).await,
        }
    }
}

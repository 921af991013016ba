mod rotate;

use clap::Subcommand;

use super::connect::Connection;
use super::failure::Failure;
use super::output::Output;

/// What its long help begins with.
pub(super) const ABOUT: &str = "\
Rotate the keys of namespaces\n\n\
Each namespace has a key of its own, which the service keeps under the master key. It seals names, descriptions and metadata, \
and the key of each value. Rotate it where somebody may have had it, or as often as your rules ask for it; the service does so \
by itself after 2^30 seals.";

/// `strongroom namespace-key`
#[derive(Subcommand)]
pub(super) enum NamespaceKey {
    /// Put a new key of a namespace into use, while the service goes on
    #[command(long_about = rotate::ABOUT)]
    Rotate(rotate::Rotate),
}

impl NamespaceKey {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let Self::Rotate(command) = self;
        command.run(connection, output).await
    }
}

/// What damaged records mean for a rotation.
pub(super) const KEPT: &str = "records that can not be opened could not be sealed anew, so the earlier key stays in use for \
                               them: restore them from a backup and rotate again, or delete their secrets";

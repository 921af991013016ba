//! `strongroom namespace-key` rotates the keys of namespaces.

mod rotate;

use clap::Subcommand;

use super::connect::Connection;
use super::failure::Failure;
use super::output::Output;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Rotate the keys of namespaces\n\n\
Each namespace has its own key, which the master key seals. The namespace's key seals names, descriptions, metadata, and the \
key of each value. Rotate it if somebody may have learned it, or as often as your rules demand. The service rotates it by \
itself after 2^30 seals.";

/// The commands below `strongroom namespace-key`.
#[derive(Subcommand)]
pub(super) enum NamespaceKey {
    /// Replace the key of a namespace by a new one while the service runs
    #[command(long_about = rotate::ABOUT)]
    Rotate(rotate::Rotate),
}

impl NamespaceKey {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let Self::Rotate(command) = self;
        command.run(connection, output).await
    }
}

/// The note after a rotation that met damaged records.
pub(super) const KEPT: &str = "damaged records could not be sealed with the new key, so the earlier key is kept for them: restore \
                               them from a backup and rotate again, or delete their secrets";

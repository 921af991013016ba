//! `strongroom disable` disables a version.

use strongroom_client::v1;

use super::connect::Connection;
use super::failure::{self, Failure};
use super::output::Output;
use super::version::{VersionArgs, print_changed};

/// The arguments of `strongroom disable`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom disable db_password 3")]
pub(super) struct Disable {
    #[command(flatten)]
    version: VersionArgs,
}

impl Disable {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let VersionArgs { name, version, etag } = self.version;
        let message = v1::DisableVersionRequest { name, version, etag, ..Default::default() };
        let reply = connection.client().await?.secrets().disable_version(message).await?;
        if reply.version.as_ref().is_some_and(|version| version.current) {
            failure::note(&format!(
                "version {version} is the current one: readers get no value until you enable it, rotate the secret or promote \
                 another version"
            ));
        }
        print_changed(output, reply.version, reply.secret, reply.revision)
    }
}

use serde_json::json;
use strongroom_client::v1;

use super::confirm;
use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use super::receipt::{receipt_fields, receipt_json};
use super::secret::secret_json;
use super::version::{VersionArgs, version_json};

/// What its long help begins with.
pub(super) const ABOUT: &str = "\
Destroy a version of a secret, for good\n\n\
The version's value and the key that it was sealed with are removed; the secret, its other versions and what is known of \
this one stay. What is printed is the service's signed receipt of it: keep it (-o json) where someone has to be shown that \
the version is gone, and see 'strongroom receipt verify'. Backups, and copies of the data from before, still have the \
version.";

/// `strongroom destroy`
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom destroy db_password 3
  strongroom -o json destroy db_password 3 --yes > db_password-3.receipt.json")]
pub(super) struct Destroy {
    #[command(flatten)]
    version: VersionArgs,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Destroy {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let VersionArgs { name, version, etag } = self.version;
        if !self.yes {
            let settings = connection.settings()?;
            let (shown, server) = (output::printable(&name), settings.address());
            confirm::agreed(
                "this destroys a version for good: say --yes where nobody can be asked",
                &format!("Destroy version {version} of '{shown}' in {server}, for good?"),
                "nothing was destroyed",
            )?;
        }
        let message = v1::DestroyVersionRequest { name, version, etag, ..Default::default() };
        let reply = connection.client().await?.secrets().destroy_version(message).await?;
        let no_receipt = || Failure::local("the service sent no receipt");
        let receipt = reply.receipt.ok_or_else(no_receipt)?;
        let json = json!({
            "version": reply.version.as_ref().map(version_json),
            "secret": reply.secret.as_ref().map(secret_json),
            "receipt": receipt_json(&receipt),
            "revision": reply.revision,
        });
        output.print(&receipt_fields(&receipt), &json)
    }
}

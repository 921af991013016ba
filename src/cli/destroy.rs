//! `strongroom destroy` destroys a version and prints the receipt.

use serde_json::json;
use strongroom_client::v1;

use super::confirm;
use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use super::receipt::{receipt_fields, receipt_json};
use super::secret::secret_json;
use super::version::{VersionArgs, version_json};

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Destroy a version of a secret permanently\n\n\
The service removes the value of the version and the key that sealed it. The secret, its other versions and the version's \
number, state and times stay. Backups and other older copies of the data still have the value.\n\n\
The service answers with a signed receipt. Keep it (-o json) as a proof of the destruction; 'strongroom receipt verify' \
checks it.";

/// The arguments of `strongroom destroy`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom destroy db_password 3
  strongroom -o json destroy db_password 3 --yes > db_password-3.receipt.json")]
pub(super) struct Destroy {
    #[command(flatten)]
    version: VersionArgs,

    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl Destroy {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let VersionArgs { name, version, etag } = self.version;
        if !self.yes {
            let unasked =
                "this destroys a version permanently: give --yes, or use a terminal, which asks first";
            confirm::can_be_asked(unasked)?;
            let settings = connection.settings()?;
            let (shown, server) = (output::printable(&name), settings.address());
            let warning = if is_current(connection, &name, version).await? {
                "This is the current version: from then on readers get no value, until you rotate the secret or promote another \
                 version. "
            } else {
                ""
            };
            confirm::agreed(
                unasked,
                &format!("{warning}Destroy version {version} of '{shown}' in {server} permanently?"),
                "the version was not destroyed",
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

/// Whether this is the current version, as far as the caller may know: who may destroy a version need not be able to see it.
async fn is_current(connection: &Connection, name: &str, version: u32) -> Result<bool, Failure> {
    let message = v1::GetSecretRequest {
        name: name.to_owned(),
        view: v1::View::Metadata.into(),
        ..v1::GetSecretRequest::default()
    };
    let reply = connection.client().await?.secrets().get(message).await;
    Ok(reply.is_ok_and(|reply| reply.secret.is_some_and(|secret| secret.version == version)))
}

//! `strongroom update` changes a secret's fields.

use std::path::PathBuf;

use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::metadata;
use super::moment;
use super::new_value;
use super::output::Output;
use super::secret::print_secret;

/// The arguments of `strongroom update`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom update stripe_api_key --description 'Stripe, all payments'
  strongroom update stripe_api_key --metadata env=production --metadata owner=payments
  strongroom update stripe_api_key --value-file new_key.txt
  strongroom update preview_token --expires-at 30d")]
pub(super) struct Update {
    /// The secret's name
    name: String,

    /// The secret's new name
    #[arg(long, value_name = "NAME")]
    new_name: Option<String>,

    /// Read a new value from FILE, byte for byte; - is standard input
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,

    /// Store the value as bytes, even if it is text in UTF-8
    #[arg(long, requires = "value_file")]
    binary: bool,

    /// The new description; an empty one clears it
    #[arg(long)]
    description: Option<String>,

    /// A pair of the new metadata, which replaces all present pairs; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = metadata::pair)]
    metadata: Vec<(String, String)>,

    /// Remove all metadata
    #[arg(long, conflicts_with = "metadata")]
    clear_metadata: bool,

    /// When the secret expires: 2030-01-31 (midnight in UTC), 2030-01-31T12:00:00Z, or 30d for 30 days from now; an expired secret can be read again then
    #[arg(long, value_name = "TIME", value_parser = moment::ahead, allow_hyphen_values = true)]
    expires_at: Option<prost_types::Timestamp>,

    /// Let the secret never expire
    #[arg(long, conflicts_with = "expires_at")]
    no_expiry: bool,

    /// Change the secret only if it still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Update {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        if !self.changes() {
            return Err(Failure::usage(
                "nothing to change: give --description, --metadata, --value-file, --new-name, --expires-at, --clear-metadata or \
                 --no-expiry",
            ));
        }
        let cleared = [(self.clear_metadata, "metadata"), (self.no_expiry, "expires_at")];
        let paths: Vec<_> =
            cleared.iter().filter(|(clear, _)| *clear).map(|(_, field)| (*field).to_owned()).collect();
        let message = v1::UpdateSecretRequest {
            name: self.name,
            new_name: self.new_name,
            value: self
                .value_file
                .as_ref()
                .map(|file| new_value::from_file(file, self.binary))
                .transpose()?,
            description: self.description,
            metadata: metadata::map(self.metadata)?,
            expires_at: self.expires_at,
            update_mask: (!paths.is_empty()).then_some(prost_types::FieldMask { paths }),
            etag: self.etag,
            ..v1::UpdateSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().update(message).await?;
        print_secret(output, reply.secret)
    }

    /// Whether any field of the secret is to change.
    fn changes(&self) -> bool {
        self.new_name.is_some()
            || self.value_file.is_some()
            || self.description.is_some()
            || !self.metadata.is_empty()
            || self.clear_metadata
            || self.expires_at.is_some()
            || self.no_expiry
    }
}

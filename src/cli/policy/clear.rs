//! `strongroom policy clear` removes the rotation policy of a secret.

use strongroom_client::v1;

use super::print;
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The arguments of `strongroom policy clear`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom policy clear db_password")]
pub(in crate::cli) struct Clear {
    /// The secret's name
    name: String,

    /// Change the secret only if it still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Clear {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::UpdateSecretRequest {
            name: self.name,
            update_mask: Some(prost_types::FieldMask { paths: vec!["rotation_policy".to_owned()] }),
            etag: self.etag,
            ..v1::UpdateSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().update(message).await?;
        print(output, reply.secret)
    }
}

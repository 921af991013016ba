//! `strongroom rename` gives a secret another name.

use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::output::Output;
use super::secret::print_secret;

/// The arguments of `strongroom rename`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom rename stripe_api_key stripe_key")]
pub(super) struct Rename {
    /// The secret's present name
    name: String,

    /// Its new name
    new_name: String,
}

impl Rename {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::UpdateSecretRequest {
            name: self.name,
            new_name: Some(self.new_name),
            ..v1::UpdateSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().update(message).await?;
        print_secret(output, reply.secret)
    }
}

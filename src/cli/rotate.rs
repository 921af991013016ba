//! `strongroom rotate` gives a secret a new value.

use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::new_value::ValueArgs;
use super::output::Output;
use super::secret::print_secret;

/// The arguments of `strongroom rotate`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom rotate db_password --generate password:40
  printf %s \"$TOKEN\" | strongroom rotate github_token --value-file -")]
pub(super) struct Rotate {
    /// The secret's name
    name: String,

    #[command(flatten)]
    value: ValueArgs,

    /// Rotate the secret only if it still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Rotate {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::RotateSecretRequest {
            name: self.name,
            value: self.value.value()?,
            generate: self.value.generate,
            return_value: self.value.show,
            etag: self.etag,
            ..v1::RotateSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().rotate(message).await?;
        print_secret(output, reply.secret)
    }
}

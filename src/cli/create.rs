//! `strongroom create` creates a secret with its first version.

use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::metadata;
use super::new_value::ValueArgs;
use super::output::Output;
use super::secret::print_secret;

/// The arguments of `strongroom create`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom create stripe_api_key --description 'Stripe, payments' --metadata env=production
  strongroom create db_password --generate password:40
  printf %s \"$TOKEN\" | strongroom create github_token --value-file -")]
pub(super) struct Create {
    /// The secret's name: letters, digits and underscores, beginning with a letter or an underscore
    name: String,

    #[command(flatten)]
    value: ValueArgs,

    /// What the secret is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,

    /// A pair of metadata to attach; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = metadata::pair)]
    metadata: Vec<(String, String)>,
}

impl Create {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::CreateSecretRequest {
            name: self.name,
            value: self.value.value()?,
            generate: self.value.generate,
            return_value: self.value.show,
            description: self.description,
            metadata: self.metadata.into_iter().collect(),
            ..v1::CreateSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().create(message).await?;
        print_secret(output, reply.secret)
    }
}

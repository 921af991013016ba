//! `strongroom create` creates a secret with its first version.

use strongroom_client::{Client, v1};

use super::connect::Connection;
use super::failure::Failure;
use super::generator;
use super::metadata;
use super::moment;
use super::new_value::ValueArgs;
use super::output::{self, Output};
use super::secret::print_secret;

/// The arguments of `strongroom create`.
#[derive(clap::Args)]
#[command(after_help = format!("Examples:
  strongroom create stripe_api_key --description 'Stripe, payments' --metadata env=production
  strongroom create db_password --generate password:40
  strongroom create preview_token --generate uuid --ttl 30d
  printf %s \"$TOKEN\" | strongroom create github_token --value-file -

{}", generator::FORMS))]
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

    /// How long the secret lives, such as 12h or 30d [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = moment::span, allow_hyphen_values = true)]
    ttl: Option<prost_types::Duration>,

    /// When the secret expires: 2030-01-31 (midnight in UTC), 2030-01-31T12:00:00Z, or 30d for 30 days from now; from then on its value cannot be read
    #[arg(long, value_name = "TIME", value_parser = moment::ahead, allow_hyphen_values = true, conflicts_with = "ttl")]
    expires_at: Option<prost_types::Timestamp>,
}

impl Create {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let metadata = metadata::map(self.metadata)?;
        let client = connection.client().await?;
        if self.value.asks() {
            refuse_taken(&client, &self.name).await?;
        }
        let message = v1::CreateSecretRequest {
            name: self.name,
            value: self.value.value()?,
            generate: self.value.generate,
            return_value: self.value.show,
            description: self.description,
            metadata,
            expires_at: self.expires_at,
            ttl: self.ttl,
            ..v1::CreateSecretRequest::default()
        };
        let reply = client.secrets().create(message).await?;
        print_secret(output, reply.secret)
    }
}

/// Fails if there is such a secret, so that nobody types a value for nothing. A caller who may not look is told later.
async fn refuse_taken(client: &Client, name: &str) -> Result<(), Failure> {
    let message = v1::GetSecretRequest {
        name: name.to_owned(),
        view: v1::View::Metadata.into(),
        ..v1::GetSecretRequest::default()
    };
    match client.secrets().get(message).await {
        Ok(_) => Err(Failure::local(format!(
            "there is a secret '{}' already: give it the new value with 'strongroom rotate', or choose another name",
            output::printable(name)
        ))),
        Err(_) => Ok(()),
    }
}

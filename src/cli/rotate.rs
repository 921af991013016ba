//! `strongroom rotate` gives a secret a new value, which can stay pending.

use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::generator;
use super::moment;
use super::new_value::ValueArgs;
use super::output::Output;
use super::secret::print_secret;

/// The arguments of `strongroom rotate`.
#[derive(clap::Args)]
#[command(after_help = format!("Examples:
  strongroom rotate db_password --generate password:40 --grace 24h
  printf %s \"$TOKEN\" | strongroom rotate github_token --value-file -
  strongroom rotate db_password --stage --generate password:40 --show
  strongroom promote db_password 5

With --stage the new version is pending: nobody reads it until 'promote' makes it the current one,
and 'destroy' abandons it.

{}", generator::FORMS))]
pub(super) struct Rotate {
    /// The secret's name
    name: String,

    #[command(flatten)]
    value: ValueArgs,

    /// Let the service generate the value as the secret's rotation policy says
    #[arg(long, conflicts_with_all = ["generate", "value_file"])]
    by_policy: bool,

    /// Keep the new version pending; the current version stays as it is
    #[arg(long)]
    stage: bool,

    /// How long the former version stays readable by its number, such as 24h [default: what the rotation policy says]
    #[arg(long, value_name = "TIME", value_parser = moment::span, conflicts_with = "stage")]
    grace: Option<prost_types::Duration>,

    /// Rotate the secret only if it still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Rotate {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::RotateSecretRequest {
            name: self.name,
            value: if self.by_policy { None } else { self.value.value()? },
            grace_period: self.grace,
            stage: self.stage,
            generate: self.value.generate,
            return_value: self.value.show,
            etag: self.etag,
            ..v1::RotateSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().rotate(message).await?;
        print_secret(output, reply.secret)
    }
}

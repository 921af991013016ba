//! `strongroom set` gives a secret a value, whether the secret exists or not.

use strongroom_client::{ErrorReason, v1};

use super::connect::Connection;
use super::failure::Failure;
use super::generator;
use super::new_value::ValueArgs;
use super::output::Output;
use super::secret::print_secret;

/// The arguments of `strongroom set`.
#[derive(clap::Args)]
#[command(after_help = format!("Examples:
  strongroom set stripe_api_key
  printf %s \"$TOKEN\" | strongroom set github_token --value-file -
  strongroom set db_password --generate password:40

A secret that exists gets a new version, as from 'rotate'. 'create' and 'rotate' take further options.

{}", generator::FORMS))]
pub(super) struct Set {
    /// The secret's name
    name: String,

    #[command(flatten)]
    value: ValueArgs,
}

impl Set {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let value = self.value.value()?;
        let secrets = connection.client().await?.secrets();
        let message = v1::CreateSecretRequest {
            name: self.name.clone(),
            value: value.clone(),
            generate: self.value.generate.clone(),
            return_value: self.value.show,
            ..v1::CreateSecretRequest::default()
        };
        match secrets.create(message).await {
            Ok(reply) => return print_secret(output, reply.secret),
            Err(error) if error.reason() == Some(ErrorReason::SecretAlreadyExists) => {}
            Err(error) => return Err(error.into()),
        }
        let message = v1::RotateSecretRequest {
            name: self.name,
            value,
            generate: self.value.generate,
            return_value: self.value.show,
            ..v1::RotateSecretRequest::default()
        };
        print_secret(output, secrets.rotate(message).await?.secret)
    }
}

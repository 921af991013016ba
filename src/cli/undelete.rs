//! `strongroom undelete` brings a deleted secret back.

use strongroom_client::{Error, ErrorReason, v1};

use super::connect::Connection;
use super::failure::Failure;
use super::output::Output;
use super::secret::print_secret;

/// The arguments of `strongroom undelete`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom list --include-deleted
  strongroom undelete 01980b3c-5f7e-7a30-9d5c-3c1f0e2a4b66
  strongroom undelete 01980b3c-5f7e-7a30-9d5c-3c1f0e2a4b66 --name stripe_api_key_old

'delete' prints the id, and 'list --include-deleted' shows it. If another secret has the name \
now, give this one another name with --name.")]
pub(super) struct Undelete {
    /// The id of the deleted secret
    id: String,

    /// The name that the secret gets [default: the name that it had]
    #[arg(long, default_value = "", value_name = "NAME", hide_default_value = true)]
    name: String,
}

impl Undelete {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let Ok(id) = uuid::Uuid::try_parse(&self.id) else {
            return Err(Failure::usage(
                "ID must be the id of a deleted secret, and not a name: 'strongroom list --include-deleted' shows the ids",
            ));
        };
        let message = v1::UndeleteSecretRequest {
            // The service takes only the form in which ids are shown, with lower-case letters.
            id: id.to_string(),
            new_name: self.name,
            ..v1::UndeleteSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().undelete(message).await.map_err(refused)?;
        print_secret(output, reply.secret)
    }
}

/// The refusal of the service; where the name is taken, with what to do.
fn refused(error: Error) -> Failure {
    let taken = error.reason() == Some(ErrorReason::SecretAlreadyExists);
    let failure = Failure::from(error);
    if taken {
        let message = "another secret has this name now: give the deleted one another name with --name";
        failure.with_message(message, Vec::new())
    } else {
        failure
    }
}

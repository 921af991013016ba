//! `strongroom rotate` gives a secret a new value, which can stay pending.

use strongroom_client::{Error, v1};

use super::connect::Connection;
use super::failure::Failure;
use super::generator;
use super::moment;
use super::new_value::ValueArgs;
use super::output::Output;
use super::secret::{print_secret, print_with_value};

/// The arguments of `strongroom rotate`.
#[derive(clap::Args)]
#[command(after_help = format!("Examples:
  strongroom rotate db_password --generate password:40 --grace 24h
  printf %s \"$TOKEN\" | strongroom rotate github_token --value-file -
  strongroom rotate db_password --stage --generate password:40 --show
  strongroom promote db_password 5

With --stage the new version is pending: nobody reads it until 'promote' makes it the current one, \
and 'destroy' abandons it.

{}", generator::FORMS))]
pub(super) struct Rotate {
    /// The secret's name
    name: String,

    #[command(flatten)]
    value: ValueArgs,

    /// Let the service generate the value as the secret's rotation policy says
    #[arg(long, group = "generated", conflicts_with_all = ["generate", "value_file", "binary"])]
    by_policy: bool,

    /// Keep the new version pending; the current version stays as it is
    #[arg(long)]
    stage: bool,

    /// How long the former version stays readable by its number, such as 24h [default: what the rotation policy says]
    #[arg(long, value_name = "TIME", value_parser = moment::span, allow_hyphen_values = true, conflicts_with = "stage")]
    grace: Option<prost_types::Duration>,

    /// Rotate the secret only if it still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

/// RotateSecret returns a value only together with the generator that the same request names.
const SHOW_BY_POLICY: &str = "--show needs --generate: the service returns no value that it generates as the rotation policy says. \
                              Rotate without --show and read the new value with 'strongroom get NAME --value-only', or name the \
                              generator: --generate SPEC --show";

impl Rotate {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let show = self.value.show;
        if show && self.by_policy {
            return Err(Failure::usage(SHOW_BY_POLICY));
        }
        let message = v1::RotateSecretRequest {
            name: self.name,
            value: if self.by_policy { None } else { self.value.value()? },
            grace_period: self.grace,
            stage: self.stage,
            generate: self.value.generate,
            return_value: show,
            etag: self.etag,
            ..v1::RotateSecretRequest::default()
        };
        let refused = |error| if self.by_policy { without_policy(error) } else { Failure::from(error) };
        let reply = connection.client().await?.secrets().rotate(message).await.map_err(refused)?;
        if show {
            // A staged value is not the one of the current version.
            print_with_value(output, reply.secret, reply.version)
        } else {
            print_secret(output, reply.secret)
        }
    }
}

/// The refusal of a rotation by the policy. The service asks for a value where no policy has a generator.
fn without_policy(error: Error) -> Failure {
    let asked = error.violations().iter().any(|violation| violation.field == "value");
    let failure = Failure::from(error);
    if !asked {
        return failure;
    }
    let message = "the secret has no rotation policy with a generator: give it one with 'policy set --generate', or rotate it \
                   without --by-policy";
    failure.with_message(message, Vec::new())
}

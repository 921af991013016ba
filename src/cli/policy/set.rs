//! `strongroom policy set` gives a secret a rotation policy.

use strongroom_client::v1;

use super::print;
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::generator;
use crate::cli::moment;
use crate::cli::output::Output;

/// The arguments of `strongroom policy set`.
#[derive(clap::Args)]
#[command(after_help = format!("Examples:
  strongroom policy set api_token --every 30d --generate password:40 --grace 24h
  strongroom policy set db_password --every 30d --window 02:00-04:00

The command replaces the whole policy: what you do not name is not part of it any more.

{}", generator::FORMS))]
pub(in crate::cli) struct Set {
    /// The secret's name
    name: String,

    /// The time between two rotations, such as 30d [default: the secret is rotated only on request]
    #[arg(long, value_name = "TIME", value_parser = moment::span, allow_hyphen_values = true)]
    every: Option<prost_types::Duration>,

    /// The time of day (UTC) within which the secret is rotated, such as 02:00-04:00 [default: at any time]
    #[arg(long, default_value = "", value_name = "FROM-TO", hide_default_value = true)]
    window: String,

    /// How long the former version stays readable by its number, such as 24h [default: as long as it is kept]
    #[arg(long, value_name = "TIME", value_parser = moment::span, allow_hyphen_values = true)]
    grace: Option<prost_types::Duration>,

    /// Let the service rotate the secret by itself, with this generator [default: a worker rotates it]
    #[arg(long, value_name = "SPEC", value_parser = generator::parse)]
    generate: Option<v1::Generator>,

    /// Retire the former version before its grace period ends, once all of its consumers use a newer one
    #[arg(long, requires = "grace")]
    retire_when_unread: bool,

    /// Make no rotations until 'policy resume'; to pause the policy that a secret has, use 'policy pause'
    #[arg(long)]
    paused: bool,

    /// Change the secret only if it still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl Set {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let policy = v1::RotationPolicy {
            interval: self.every,
            generator: self.generate,
            grace_period: self.grace,
            window: self.window,
            paused: self.paused,
            retire_when_unread: self.retire_when_unread,
        };
        if policy.interval.is_none() && policy.generator.is_none() && policy.grace_period.is_none() {
            return Err(Failure::usage(
                "the policy says nothing: give --every, --generate or --grace. 'policy pause' pauses the one that the secret has, and \
                 'policy clear' removes it",
            ));
        }
        let message = v1::UpdateSecretRequest {
            name: self.name,
            rotation_policy: Some(policy),
            etag: self.etag,
            ..v1::UpdateSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().update(message).await?;
        print(output, reply.secret)
    }
}

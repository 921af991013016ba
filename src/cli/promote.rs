//! `strongroom promote` makes a pending or an older version the current one.

use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::moment;
use super::output::Output;
use super::secret::print_secret;
use super::version::VersionArgs;

/// The arguments of `strongroom promote`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom promote db_password 5 --grace 24h
  strongroom promote db_password 3

The first example ends a staged rotation, and the second goes back to an older version.")]
pub(super) struct Promote {
    #[command(flatten)]
    version: VersionArgs,

    /// How long the version that was current stays readable by its number [default: what the rotation policy says]
    #[arg(long, value_name = "TIME", value_parser = moment::span, allow_hyphen_values = true)]
    grace: Option<prost_types::Duration>,
}

impl Promote {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let VersionArgs { name, version, etag } = self.version;
        let message = v1::PromoteVersionRequest {
            name,
            version,
            grace_period: self.grace,
            etag,
            ..v1::PromoteVersionRequest::default()
        };
        let reply = connection.client().await?.secrets().promote(message).await?;
        print_secret(output, reply.secret)
    }
}

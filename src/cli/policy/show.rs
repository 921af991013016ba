//! `strongroom policy show` shows the rotation policy of a secret.

use strongroom_client::v1;

use super::print;
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The arguments of `strongroom policy show`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom policy show db_password")]
pub(in crate::cli) struct Show {
    /// The secret's name
    name: String,
}

impl Show {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::GetSecretRequest {
            name: self.name,
            view: v1::View::Metadata.into(),
            ..v1::GetSecretRequest::default()
        };
        let reply = connection.client().await?.secrets().get(message).await?;
        print(output, reply.secret)
    }
}

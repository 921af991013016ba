//! `strongroom key rotate` gives an API key a new secret.

use std::time::Duration;

use strongroom_client::v1;
use zeroize::Zeroizing;

use super::chosen::{Chosen, chosen};
use super::destination::Destination;
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The arguments of `strongroom key rotate`.
#[derive(clap::Args)]
#[command(after_help = "The key keeps its id, its name and its bindings. Every key may rotate itself.

Examples:
  strongroom key rotate abcdefghijklmnop --overlap 1h --out billing.key
  strongroom key rotate billing --out billing.key")]
pub(in crate::cli) struct Rotate {
    /// The key's id, the 16 characters after srk_; or its name, if one key in force has it
    #[arg(value_name = "ID|NAME")]
    key: String,

    /// The time that the present key still works, such as 1h [default: it stops working at once]
    #[arg(long, value_name = "TIME", value_parser = crate::config::parse_duration, allow_hyphen_values = true)]
    overlap: Option<Duration>,

    #[command(flatten)]
    destination: Destination,
}

impl Rotate {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let overlap = self.overlap.map(prost_types::Duration::try_from).transpose();
        let overlap = overlap.map_err(|_| Failure::usage("--overlap is too long"))?;
        let destination = self.destination.prepare()?;
        let access = connection.client().await?.access();
        let id = match chosen(&access, &self.key).await? {
            Chosen::ById(id) => id,
            Chosen::ByName(key) => key.id,
        };
        let reply = access.rotate_api_key(v1::RotateApiKeyRequest { id, overlap }).await?;
        let credential = Zeroizing::new(reply.credential);
        Ok(destination.deliver(output, &reply.api_key.unwrap_or_default(), &[], &credential)?)
    }
}

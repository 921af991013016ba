//! `strongroom binding remove` removes a binding.

use serde_json::json;

use crate::cli::confirm::Caution;
use crate::cli::connect::Connection;
use crate::cli::dry_run::{self, Bindings};
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The arguments of `strongroom binding remove`.
#[derive(clap::Args)]
#[command(after_help = "Requests and streams that need the binding end within a second.

Examples:
  strongroom binding remove abcdefghijklmnop --dry-run
  strongroom binding remove abcdefghijklmnop")]
pub(in crate::cli) struct Remove {
    /// The binding's id, from 'strongroom binding list'
    id: String,

    #[command(flatten)]
    caution: Caution,
}

impl Remove {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let change = format!("remove the binding {}", self.id);
        if self.caution.dry_run {
            let bindings = Bindings::read(&connection.client().await?.access()).await?;
            let differences = bindings.without(bindings.find(&self.id)?);
            return dry_run::print(output, &change, &differences);
        }
        self.caution.agreed(connection, &change)?;
        let reply = connection.client().await?.access().delete_binding(self.id.clone()).await?;
        output.print(&[("removed", self.id.clone())], &json!({ "id": self.id, "revision": reply.revision }))
    }
}

//! `strongroom role delete` deletes a role.

use serde_json::json;

use crate::cli::confirm::Caution;
use crate::cli::connect::Connection;
use crate::cli::dry_run::{self, Bindings};
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The arguments of `strongroom role delete`.
#[derive(clap::Args)]
#[command(after_help = "A role that a binding has cannot be deleted: remove its bindings first.

Examples:
  strongroom binding list --role deployer
  strongroom role delete deployer")]
pub(in crate::cli) struct Delete {
    /// The name
    name: String,

    #[command(flatten)]
    caution: Caution,
}

impl Delete {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let change = format!("delete the role '{}'", self.name);
        if self.caution.dry_run {
            let bindings = Bindings::read(&connection.client().await?.access()).await?;
            if bindings.role(&self.name)?.built_in {
                return Err(Failure::local("the role would not be deleted: it is built in"));
            }
            let of: Vec<_> = bindings.of_role(&self.name).collect();
            if !of.is_empty() {
                let listed =
                    of.into_iter().map(|of| (of.id.clone(), format!("gives it to {}", of.principal)));
                let refused =
                    "the role would not be deleted, because these bindings have it: remove them first";
                return Err(Failure::local(refused).with_all(listed.collect()));
            }
            return dry_run::print(output, &change, &[]);
        }
        self.caution.agreed(connection, &change)?;
        let reply = connection.client().await?.access().delete_role(self.name.clone()).await?;
        let json = json!({ "name": self.name, "revision": reply.revision });
        output.print(&[("deleted", self.name)], &json)
    }
}

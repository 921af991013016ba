//! `strongroom role create` creates a role.

use strongroom_client::v1;

use super::{role_fields, role_json};
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::right;

/// The arguments of `strongroom role create`.
#[derive(clap::Args)]
#[command(after_help = "A role never changes. To give other rights, create another role.

Example:
  strongroom role create deployer --right list --right read --right rotate")]
pub(in crate::cli) struct Create {
    /// The name: lower-case letters, digits, underscores and hyphens
    name: String,

    /// A right of the role: list, read, write, rotate, delete, manage_access, audit or operate; may be given several
    /// times
    #[arg(long = "right", value_name = "RIGHT", required = true, value_parser = right::parse)]
    rights: Vec<v1::Right>,

    /// What the role is for
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
}

impl Create {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::CreateRoleRequest {
            name: self.name,
            rights: self.rights.into_iter().map(i32::from).collect(),
            description: self.description,
        };
        let reply = connection.client().await?.access().create_role(message).await?;
        let role = reply.role.unwrap_or_default();
        output.print(&role_fields(&role), &role_json(&role))
    }
}

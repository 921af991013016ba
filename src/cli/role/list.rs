//! `strongroom role list` lists all roles.

use serde_json::json;
use strongroom_client::v1;

use super::{role_fields, role_json};
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The end of the help.
pub(super) const EXAMPLES: &str = "\
Example:
  strongroom role list -o table";

/// Runs `strongroom role list`.
pub(super) async fn run(connection: &Connection, output: Output) -> Result<(), Failure> {
    let roles = connection.client().await?.access().list_roles().await?.items;
    let json = json!({ "items": roles.iter().map(role_json).collect::<Vec<_>>() });
    let row = |role: &v1::Role| role_fields(role).into_iter().map(|(_, text)| text).collect();
    output.print_all(&["name", "rights", "created", "description"], roles.iter().map(row).collect(), &json)
}

//! `strongroom key list` lists the API keys that the caller manages.

use serde_json::json;
use strongroom_client::v1;

use super::{key_fields, key_json};
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The end of the help.
pub(super) const EXAMPLES: &str = "\
Example:
  strongroom key list -o table";

/// Runs `strongroom key list`.
pub(super) async fn run(connection: &Connection, output: Output) -> Result<(), Failure> {
    let keys = connection.client().await?.access().list_api_keys().await?.items;
    let json = json!({ "items": keys.iter().map(key_json).collect::<Vec<_>>() });
    let row = |key: &v1::ApiKey| key_fields(key).into_iter().map(|(_, text)| text).collect();
    let header = ["id", "name", "namespace", "state", "created", "expires", "last used"];
    output.print_all(&header, keys.iter().map(row).collect(), &json)
}

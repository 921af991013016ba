//! `strongroom whoami` shows the identity and the rights of the API key.

use serde_json::json;
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::key::{key_fields, key_json};
use super::output::Output;

/// The end of the help.
pub(super) const EXAMPLES: &str = "\
Example:
  STRONGROOM_API_KEY_FILE=./billing.key strongroom whoami";

/// Runs `strongroom whoami`.
pub(super) async fn run(connection: &Connection, output: Output) -> Result<(), Failure> {
    let reply = connection.client().await?.access().who_am_i().await?;
    let rights: Vec<_> = reply.rights().map(|right| right_name(right).to_owned()).collect();
    let key = reply.api_key.clone().unwrap_or_default();
    let mut fields = vec![("principal", reply.principal.clone()), ("rights", rights.join(" "))];
    fields.extend(key_fields(&key));
    let json = json!({ "principal": reply.principal, "rights": rights, "api_key": key_json(&key) });
    output.print(&fields, &json)
}

fn right_name(right: v1::Right) -> String {
    let name = right.as_str_name();
    name.strip_prefix("RIGHT_").unwrap_or(name).to_ascii_lowercase()
}

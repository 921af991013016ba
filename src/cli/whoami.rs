//! `strongroom whoami` shows the identity and the rights of the caller.

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
    let mut fields = vec![("principal", reply.principal.clone()), ("rights", rights.join(" "))];
    if !reply.groups.is_empty() {
        fields.push(("groups", reply.groups.join(" ")));
    }
    fields.extend(reply.api_key.iter().flat_map(key_fields));
    let key = reply.api_key.as_ref().map(key_json);
    let json =
        json!({ "principal": reply.principal, "groups": reply.groups, "rights": rights, "api_key": key });
    output.print(&fields, &json)
}

fn right_name(right: v1::Right) -> String {
    let name = right.as_str_name();
    name.strip_prefix("RIGHT_").unwrap_or(name).to_ascii_lowercase()
}

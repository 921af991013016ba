//! `strongroom whoami` shows the identity, the groups and the rights of the caller.

use serde_json::json;

use super::connect::Connection;
use super::failure::Failure;
use super::key::{key_fields, key_json};
use super::output::Output;
use super::right;

/// The end of the help.
pub(super) const EXAMPLES: &str = "\
The rights are those that you have on some secret of your home namespace at least, and on the \
service as a whole. 'strongroom explain' says which binding gives a right.

Example:
  STRONGROOM_API_KEY_FILE=./billing.key strongroom whoami";

/// Runs `strongroom whoami`.
pub(super) async fn run(connection: &Connection, output: Output) -> Result<(), Failure> {
    let reply = connection.client().await?.access().who_am_i().await?;
    let rights = right::names(reply.rights());
    let mut fields = vec![
        ("principal", reply.principal.clone()),
        ("groups", reply.groups.join(" ")),
        ("rights", rights.join(" ")),
    ];
    match &reply.api_key {
        Some(key) => fields.extend(key_fields(key)),
        None => fields.push(("namespace", reply.home_namespace.clone())),
    }
    let json = json!({
        "principal": reply.principal,
        "groups": reply.groups,
        "rights": rights,
        "home_namespace": reply.home_namespace,
        "api_key": reply.api_key.as_ref().map(key_json),
    });
    output.print(&fields, &json)
}

//! `strongroom binding` gives principals the rights of roles, denies them, and takes them back.

mod add;
mod list;
mod remove;

use clap::Subcommand;
use serde_json::{Value as Json, json};
use strongroom_client::v1::{self, Effect};

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Give rights to principals, or deny them\n\n\
A binding gives a principal the rights of a role on the secrets that its patterns match, or denies them. A denial wins over \
every binding that gives. Everything that no binding gives is denied. 'strongroom explain' says which binding decides.";

/// The commands below `strongroom binding`.
#[derive(Subcommand)]
pub(super) enum Binding {
    /// Give a principal the rights of a role, or deny them
    Add(add::Add),
    /// List bindings
    List(list::List),
    /// Remove a binding
    Remove(remove::Remove),
}

impl Binding {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Add(command) => command.run(connection, output).await,
            Self::List(command) => command.run(connection, output).await,
            Self::Remove(command) => command.run(connection, output).await,
        }
    }
}

/// The lines of a binding.
pub(super) fn binding_fields(binding: &v1::Binding) -> Vec<(&'static str, String)> {
    vec![
        ("id", binding.id.clone()),
        ("principal", binding.principal.clone()),
        ("effect", effect(binding).to_owned()),
        ("role", binding.role.clone()),
        ("namespaces", binding.namespace_pattern.clone()),
        ("names", binding.name_pattern.clone()),
        ("expires", output::time_in_brief(binding.expires_at.as_ref())),
        ("last used", output::time_in_brief(binding.last_used_at.as_ref())),
        ("description", binding.description.clone()),
    ]
}

/// A binding in JSON, with the field names of the wire.
pub(super) fn binding_json(binding: &v1::Binding) -> Json {
    let mut json = json!({
        "id": binding.id,
        "principal": binding.principal,
        "role": binding.role,
        "namespace_pattern": binding.namespace_pattern,
        "name_pattern": binding.name_pattern,
        "effect": effect(binding),
        "created_at": output::time(binding.created_at.as_ref()),
        "description": binding.description,
    });
    let times = [("expires_at", &binding.expires_at), ("last_used_at", &binding.last_used_at)];
    for (name, at) in times {
        if let (Some(object), Some(at)) = (json.as_object_mut(), at) {
            object.insert(name.to_owned(), json!(at.to_string()));
        }
    }
    json
}

fn effect(binding: &v1::Binding) -> &'static str {
    match binding.effect() {
        Effect::Allow | Effect::Unspecified => "allow",
        Effect::Deny => "deny",
    }
}

/// The flag that a field of the wire has here.
pub(super) fn flag(field: &str) -> Option<String> {
    let flag = match field {
        "namespace_pattern" | "namespace" => "--on",
        "name_pattern" => "--name",
        "principal" => "--principal",
        "role" => "--role",
        "expires_at" => "--expires-at",
        _ => return None,
    };
    Some(flag.to_owned())
}

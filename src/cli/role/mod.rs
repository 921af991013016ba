//! `strongroom role` creates, lists and deletes roles.

mod create;
mod delete;
mod list;

use clap::Subcommand;
use serde_json::{Value as Json, json};
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use super::right;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Create, list and delete roles\n\n\
A role is a named set of rights. It gives nobody a right by itself: 'strongroom binding add' gives a principal the rights of a \
role on some secrets. The rights are list, read, write, rotate, delete, manage_access, audit and operate.";

/// The commands below `strongroom role`.
#[derive(Subcommand)]
pub(super) enum Role {
    /// Create a role
    Create(create::Create),
    /// List all roles and their rights
    #[command(after_help = list::EXAMPLES)]
    List,
    /// Delete a role that no binding has
    Delete(delete::Delete),
}

impl Role {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(connection, output).await,
            Self::List => list::run(connection, output).await,
            Self::Delete(command) => command.run(connection, output).await,
        }
    }
}

/// The lines of a role.
fn role_fields(role: &v1::Role) -> Vec<(&'static str, String)> {
    vec![
        ("name", role.name.clone()),
        ("rights", right::names(role.rights()).join(" ")),
        (
            "created",
            if role.built_in {
                "built in".to_owned()
            } else {
                output::time_in_brief(role.created_at.as_ref())
            },
        ),
        ("description", role.description.clone()),
    ]
}

/// A role in JSON, with the field names of the wire.
fn role_json(role: &v1::Role) -> Json {
    let mut json = json!({
        "name": role.name,
        "rights": right::names(role.rights()),
        "description": role.description,
        "built_in": role.built_in,
    });
    if let (Some(object), Some(at)) = (json.as_object_mut(), &role.created_at) {
        object.insert("created_at".to_owned(), json!(at.to_string()));
    }
    json
}

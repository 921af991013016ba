//! `strongroom logout` removes a context with its API key.

use serde_json::json;

use super::connect::Connection;
use super::contexts::{self, Contexts};
use super::failure::Failure;
use super::output::Output;

/// The arguments of `strongroom logout`.
#[derive(clap::Args)]
#[command(after_help = "The API key itself stays valid: 'strongroom key revoke' ends it.

Examples:
  strongroom logout
  strongroom logout staging")]
pub(super) struct Logout {
    /// The context to remove [default: that of --context or STRONGROOM_CONTEXT, or else the current one]
    #[arg(value_name = "CONTEXT")]
    name: Option<String>,
}

impl Logout {
    pub(super) fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let none =
            || Failure::usage("there is no current context: name one, which 'strongroom context list' shows");
        let named = connection.context_or(self.name)?;
        let name = named.map_or_else(|| Contexts::read()?.current.ok_or_else(none), Ok)?;
        Contexts::change(|all| {
            all.contexts.remove(&name).ok_or_else(|| contexts::unknown(&name, &all.contexts))?;
            all.current = all.current.take().filter(|current| *current != name);
            Ok(())
        })?;
        output.print(&[("removed", name.clone())], &json!({ "removed": name }))
    }
}

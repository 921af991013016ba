//! `strongroom logout` removes a context with its API key.

use serde_json::json;

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
    /// The context to remove [default: the current one]
    #[arg(value_name = "CONTEXT")]
    name: Option<String>,
}

impl Logout {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let mut all = Contexts::read()?;
        let none =
            || Failure::usage("there is no current context: name one, which 'strongroom context list' shows");
        let name = self.name.or_else(|| all.current.clone()).ok_or_else(none)?;
        if all.contexts.remove(&name).is_none() {
            return Err(contexts::unknown(&name));
        }
        all.current = all.current.filter(|current| *current != name);
        all.write()?;
        output.print(&[("removed", name.clone())], &json!({ "removed": name }))
    }
}

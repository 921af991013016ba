//! `strongroom key revoke` revokes an API key.

use super::chosen::{Chosen, chosen};
use super::{key_fields, key_json};
use crate::cli::confirm::Caution;
use crate::cli::connect::Connection;
use crate::cli::dry_run::{self, Bindings};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};

/// The arguments of `strongroom key revoke`.
#[derive(clap::Args)]
#[command(after_help = "The key's bindings are removed, and its requests and streams end within a second.

Examples:
  strongroom key revoke abcdefghijklmnop --dry-run
  strongroom key revoke abcdefghijklmnop
  strongroom key revoke billing")]
pub(in crate::cli) struct Revoke {
    /// The key's id, the 16 characters after srk_; or its name, if one key in force has it
    #[arg(value_name = "ID|NAME")]
    key: String,

    #[command(flatten)]
    caution: Caution,
}

impl Revoke {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let access = connection.client().await?.access();
        let (id, shown) = match chosen(&access, &self.key).await? {
            Chosen::ById(id) => (id.clone(), id),
            Chosen::ByName(key) => {
                let shown = format!("{} ('{}')", key.id, output::printable(&key.name));
                (key.id, shown)
            }
        };
        let change = format!("revoke the API key {shown} permanently");
        if self.caution.dry_run {
            let keys = access.list_api_keys().await?.items;
            let Some(key) = keys.into_iter().find(|key| key.id == id) else {
                return Err(Failure::local(format!("There is no API key '{id}' that you manage.")));
            };
            if key.revoked_at.is_some() {
                return Err(Failure::local(format!("the API key {id} is revoked already")));
            }
            let lost = Bindings::read(&access).await?.without_key(&key.id);
            return dry_run::print(output, &change, &lost);
        }
        self.caution.agreed(connection, &change)?;
        let reply = access.revoke_api_key(id).await?;
        let key = reply.api_key.unwrap_or_default();
        output.print(&key_fields(&key), &key_json(&key))
    }
}

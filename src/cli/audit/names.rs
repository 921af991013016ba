//! `strongroom audit names` says which names a fingerprint of the audit log stands for.

use serde_json::json;

use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The arguments of `strongroom audit names`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom audit names fp:1f2e3d4c5b6a7988

With the setting 'names = \"fingerprint\"' of the table [audit], the log has fingerprints in place of the \
names of namespaces and secrets. You need the right 'audit', and see only names that you may list. A \
secret that was renamed or removed since has no name to show.")]
pub(in crate::cli) struct Names {
    /// The fingerprint, as the records have it
    #[arg(value_name = "FINGERPRINT")]
    fingerprint: String,
}

impl Names {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let found = connection.client().await?.audit().find_names(&self.fingerprint).await?;
        let secrets = found.secrets.iter().map(|secret| format!("{}/{}", secret.namespace, secret.name));
        let secrets: Vec<_> = secrets.collect();
        let json = json!({
            "fingerprint": self.fingerprint,
            "namespaces": found.namespaces,
            "secrets": secrets,
        });
        let namespaces = found.namespaces.into_iter().map(|name| vec!["namespace".to_owned(), name]);
        let secrets = secrets.into_iter().map(|name| vec!["secret".to_owned(), name]);
        output.print_all(&["kind", "name"], namespaces.chain(secrets).collect(), &json)
    }
}

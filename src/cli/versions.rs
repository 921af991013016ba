//! `strongroom versions` lists the versions of a secret, and who uses them.

use serde_json::json;
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use super::version::{consistency, consumers, state_name, version_json};

/// The arguments of `strongroom versions`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom versions db_password

A pending version is the new value of a staged rotation: 'promote' makes it the current one. A \
version that retires is disabled at that time. A consumer is shown by the name that it gave itself, \
or by its principal.")]
pub(super) struct Versions {
    /// The secret's name
    name: String,

    /// Accept a list without the changes of the last seconds, from a service with replicas
    #[arg(long)]
    cached: bool,
}

impl Versions {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let request = v1::ListSecretVersionsRequest {
            name: self.name,
            consistency: consistency(self.cached).into(),
            ..v1::ListSecretVersionsRequest::default()
        };
        let reply = connection.client().await?.secrets().versions(request).await?;
        let json = json!({
            "versions": reply.versions.iter().map(version_json).collect::<Vec<_>>(),
            "revision": reply.revision,
        });
        let row = |version: &v1::SecretVersion| {
            let current = if version.current { "current" } else { "" };
            vec![
                version.number.to_string(),
                state_name(version.state()),
                output::time_in_brief(version.created_at.as_ref()),
                output::time_in_brief(version.state_changed_at.as_ref()),
                output::time_in_brief(version.last_read_at.as_ref()),
                consumers(version, |consumer| consumer.last_read_at.is_some()),
                consumers(version, |consumer| consumer.acknowledged_at.is_some()),
                output::time_in_brief(version.retires_at.as_ref()),
                current.to_owned(),
            ]
        };
        let rows = reply.versions.iter().map(row).collect();
        let header = [
            "version",
            "state",
            "created",
            "state changed",
            "last read",
            "read by",
            "acknowledged by",
            "retires",
            "",
        ];
        output.print_all(&header, rows, &json)
    }
}

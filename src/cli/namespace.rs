//! `strongroom namespace list` lists the namespaces in which the caller may list secrets.

use std::io::Write;

use serde_json::{Value as Json, json};
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::output::Output;
use super::version::consistency;

/// The commands below `strongroom namespace`.
#[derive(clap::Subcommand)]
pub(super) enum Namespace {
    /// List the namespaces in which you may list secrets
    #[command(visible_alias = "ls")]
    List(List),
}

impl Namespace {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(connection, output).await,
        }
    }
}

/// The arguments of `strongroom namespace list`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  strongroom namespace list
  strongroom namespace list --below team

A namespace comes into being with its first secret.")]
pub(super) struct List {
    /// Show only this namespace and those below it
    #[arg(long, value_name = "NAMESPACE")]
    below: Option<String>,

    /// Accept a list without the changes of the last seconds, from a service with replicas
    #[arg(long)]
    cached: bool,
}

impl List {
    async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let secrets = connection.client().await?.secrets();
        let mut request = v1::ListNamespacesRequest {
            below: self.below.unwrap_or_default(),
            limit: Some(1000),
            consistency: consistency(self.cached).into(),
            ..v1::ListNamespacesRequest::default()
        };
        let mut items = Vec::new();
        let last = loop {
            let mut page = secrets.list_namespaces(request.clone()).await?;
            items.append(&mut page.items);
            if page.next_page_token.is_empty() {
                break page;
            }
            request.page_token = page.next_page_token;
        };
        let json = json!({
            "items": items.iter().map(namespace_json).collect::<Vec<_>>(),
            "revision": last.revision,
            "damaged_size": last.damaged_size,
        });
        let row = |namespace: &v1::Namespace| {
            vec![namespace.name.clone(), namespace.secrets.to_string(), namespace.deleted_secrets.to_string()]
        };
        output.print_all(&["namespace", "secrets", "deleted"], items.iter().map(row).collect(), &json)?;
        if last.damaged_size > 0 {
            let _ = writeln!(
                std::io::stderr(),
                "warning: namespaces that are not listed, because their records were altered or damaged: {}. Restore \
                 a backup",
                last.damaged_size
            );
        }
        Ok(())
    }
}

/// A namespace in JSON, with the field names of the wire.
fn namespace_json(namespace: &v1::Namespace) -> Json {
    json!({
        "name": namespace.name,
        "secrets": namespace.secrets,
        "deleted_secrets": namespace.deleted_secrets,
    })
}

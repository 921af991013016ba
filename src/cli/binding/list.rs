//! `strongroom binding list` lists bindings.

use serde_json::json;
use strongroom_client::v1;

use super::{binding_fields, binding_json, flag};
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The arguments of `strongroom binding list`.
#[derive(clap::Args)]
#[command(after_help = "The list has the bindings on secrets that you manage access to.

Examples:
  strongroom binding list --principal key:abcdefghijklmnop
  strongroom binding list --on team/ci -o table")]
pub(in crate::cli) struct List {
    /// Show only bindings of this principal
    #[arg(long, default_value = "", hide_default_value = true)]
    principal: String,

    /// Show only bindings of this role
    #[arg(long, default_value = "", hide_default_value = true)]
    role: String,

    /// Show only bindings that count in this namespace
    #[arg(long, value_name = "NAMESPACE", default_value = "", hide_default_value = true)]
    on: String,
}

impl List {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let request = v1::ListBindingsRequest {
            principal: self.principal,
            role: self.role,
            namespace: self.on,
            ..v1::ListBindingsRequest::default()
        };
        let access = connection.client().await?.access();
        let refused = |error| Failure::from(error).with_fields(flag);
        let bindings = access.list_bindings(request).await.map_err(refused)?.items;
        let json = json!({ "items": bindings.iter().map(binding_json).collect::<Vec<_>>() });
        let row = |binding: &v1::Binding| binding_fields(binding).into_iter().map(|(_, text)| text).collect();
        let header = [
            "id",
            "principal",
            "effect",
            "role",
            "namespaces",
            "names",
            "expires",
            "last used",
            "description",
        ];
        output.print_all(&header, bindings.iter().map(row).collect(), &json)
    }
}

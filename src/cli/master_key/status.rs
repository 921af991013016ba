//! `strongroom master-key status` shows the master key in use and the progress of its rotation.

use serde_json::json;

use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// Runs `strongroom master-key status`.
pub(super) async fn run(connection: &Connection, output: Output) -> Result<(), Failure> {
    let keys = connection.client().await?.operator().master_key_status().await?;
    let generations: Vec<_> = keys.generations.iter().map(u32::to_string).collect();
    let fields = [
        ("master key", keys.master_key_id.clone()),
        ("from", keys.source.clone()),
        ("opened by", keys.opened_by.join(" ")),
        ("generations", generations.join(" ")),
        ("seals", format!("{} of {}", keys.seals, keys.seals_limit)),
        ("namespaces", keys.namespaces.to_string()),
        ("rotating", keys.rotating_namespaces.join(" ")),
    ];
    let json = json!({
        "master_key_id": keys.master_key_id,
        "source": keys.source,
        "opened_by": keys.opened_by,
        "generations": keys.generations,
        "seals": keys.seals,
        "seals_limit": keys.seals_limit,
        "namespaces": keys.namespaces,
        "rotating_namespaces": keys.rotating_namespaces,
    });
    output.print(&fields, &json)
}

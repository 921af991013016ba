//! `strongroom audit` reads the audit log, and proves that nobody changed it.

mod checkpoint;
mod filter;
mod list;
mod names;
mod tail;
mod verify;

use clap::Subcommand;
use serde_json::Value as Json;
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::on_runtime;
use super::output::{self, Output};

/// What the help says of the audit log.
pub(super) const ABOUT: &str = "\
Read and verify the audit log.

The log has a record for each request that was answered: who made it, for what, and how it ended.
It never has a value. Each server has a log of its own, in the folder audit/ of its data folder.

'list' and 'tail' ask the server, and need an API key with the right 'audit'. 'verify' needs only the
files. It finds a record that was changed, removed, added or moved. Keep a checkpoint in another place:
with it, 'verify' also finds a log that somebody wrote again from the start.";

/// The commands below `strongroom audit`.
#[derive(Subcommand)]
pub(super) enum Audit {
    /// Show the latest records, and then each new one
    Tail(tail::Tail),
    /// List records, the newest first
    List(list::List),
    /// Say which names a fingerprint of the log stands for
    Names(names::Names),
    /// Print the signed checkpoint of the log
    Checkpoint(checkpoint::Checkpoint),
    /// Verify the log from its files, without the server
    Verify(verify::Verify),
}

impl Audit {
    pub(super) fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Tail(command) => on_runtime(command.run(connection, output)),
            Self::List(command) => on_runtime(command.run(connection, output)),
            Self::Names(command) => on_runtime(command.run(connection, output)),
            Self::Checkpoint(command) => on_runtime(command.run(connection)),
            Self::Verify(command) => command.run(output),
        }
    }
}

/// The titles of the columns of records.
const HEADER: [&str; 7] = ["index", "time", "principal", "rpc", "secret", "outcome", "reason"];

/// A record as a row.
fn row(record: &v1::AuditRecord) -> Vec<String> {
    let line: Json = serde_json::from_slice(&record.line).unwrap_or_default();
    let text = |field: &str| match line.get(field) {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let rpc = text("rpc");
    let rpc = rpc.rsplit_once('/').map_or(rpc.as_str(), |(_, method)| method);
    let secret = match (text("namespace"), text("name"), text("version")) {
        (namespace, name, _) if name.is_empty() => namespace,
        (namespace, name, version) if version.is_empty() => format!("{namespace}/{name}"),
        (namespace, name, version) => format!("{namespace}/{name}@{version}"),
    };
    let time = text("time");
    let seconds = time.split('.').next().unwrap_or_default();
    let what = if rpc.is_empty() { text("event") } else { rpc.to_owned() };
    let principal = if text("principal").is_empty() { text("peer") } else { text("principal") };
    vec![
        record.index.to_string(),
        format!("{seconds}Z"),
        principal,
        what,
        secret,
        text("outcome"),
        text("reason"),
    ]
}

/// A record as a line of JSON: the fields of the log, behind the record's number.
fn json_line(record: &v1::AuditRecord) -> Vec<u8> {
    let fields = record.line.strip_prefix(b"{").unwrap_or(&record.line);
    [format!("{{\"index\":{},", record.index).as_bytes(), fields, b"\n"].concat()
}

/// Prints a record on a line of its own.
fn print_line(record: &v1::AuditRecord, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::write(&json_line(record)),
        Output::Table => {
            let fields: Vec<_> = row(record).iter().map(|text| output::printable(text)).collect();
            let fields = fields.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
            output::write(format!("{}\n", fields.join("  ")).as_bytes())
        }
    }
}

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
use super::output::{self, Output};
use super::{answered, on_runtime};

/// What the help says of the audit log.
pub(super) const ABOUT: &str = "\
Read and verify the audit log.

The log has a record for each request that was answered: who made it, for what, and how it ended. It never has a value. Each server has a log of its own, in the folder audit/ of its data folder.

'list' and 'tail' ask the server, and need an API key with the right 'audit'. 'verify' needs only the files. It finds a record \
that was changed, removed, added or moved. Keep a checkpoint in another place: with it, 'verify' also finds a log that somebody wrote again from the start.";

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
            Self::List(command) => answered(connection, command.run(connection, output)),
            Self::Names(command) => answered(connection, command.run(connection, output)),
            Self::Checkpoint(command) => answered(connection, command.run(connection)),
            Self::Verify(command) => command.run(output),
        }
    }
}

/// The titles of the columns of records.
const HEADER: [&str; 8] = ["index", "time", "principal", "rpc", "secret", "subject", "outcome", "reason"];

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
        (namespace, name, _) if name.is_empty() => with_names(namespace, &line),
        (namespace, name, version) if version.is_empty() => format!("{namespace}/{name}"),
        (namespace, name, version) => format!("{namespace}/{name}@{version}"),
    };
    let time = text("time");
    let seconds = time.split('.').next().unwrap_or_default();
    let (what, subject) = match text("subject") {
        subject if rpc.is_empty() => (text("event"), subject),
        subject if subject == "metadata" => (format!("{rpc} (no value)"), String::new()),
        subject => (rpc.to_owned(), subject),
    };
    let principal = if text("principal").is_empty() { text("peer") } else { text("principal") };
    vec![
        record.index.to_string(),
        format!("{seconds}Z"),
        principal,
        what,
        secret,
        subject,
        text("outcome"),
        text("reason"),
    ]
}

/// A namespace, with the secrets that a batch or the references of a document have read there, and those that had no value.
fn with_names(namespace: String, line: &Json) -> String {
    let names = |field: &str| {
        let names = line.get(field).and_then(Json::as_array).into_iter().flatten();
        names.filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
    };
    match (names("read"), names("not_read")) {
        (read, not_read) if read.is_empty() && not_read.is_empty() => namespace,
        (read, not_read) if not_read.is_empty() => format!("{namespace}: {read}"),
        (read, not_read) if read.is_empty() => format!("{namespace}: not {not_read}"),
        (read, not_read) => format!("{namespace}: {read}; not {not_read}"),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(line: Json) -> Vec<String> {
        let record = v1::AuditRecord { index: 1, line: line.to_string().into_bytes() };
        row(&record).into_iter().skip(3).take(3).filter(|text| !text.is_empty()).collect()
    }

    #[test]
    fn a_row_says_which_key_or_binding_it_is_about() {
        let rpc = |method: &str| format!("strongroom.v1.AccessService/{method}");
        let revoke = json!({ "rpc": rpc("RevokeApiKey"), "subject": "abcdefghijklmnop" });
        assert_eq!(shown(revoke), ["RevokeApiKey", "abcdefghijklmnop"]);
        let create =
            json!({ "rpc": rpc("CreateApiKey"), "namespace": "team", "subject": "abcdefghijklmnop" });
        assert_eq!(shown(create), ["CreateApiKey", "team", "abcdefghijklmnop"]);
    }

    #[test]
    fn a_row_says_what_was_read_and_whether_it_was_a_value() {
        let rpc = |method: &str| format!("strongroom.v1.SecretService/{method}");
        let get = json!({ "rpc": rpc("GetSecret"), "namespace": "team", "name": "a", "version": 3 });
        assert_eq!(shown(get), ["GetSecret", "team/a@3"]);
        let metadata = json!({
            "rpc": rpc("GetSecret"), "namespace": "team", "name": "a", "version": 3, "subject": "metadata",
        });
        assert_eq!(shown(metadata), ["GetSecret (no value)", "team/a@3"]);
        let batch = |read: &[&str], not_read: &[&str]| {
            let read = json!({ "rpc": rpc("BatchGetSecrets"), "namespace": "team", "read": read, "not_read": not_read });
            shown(read).remove(1)
        };
        assert_eq!(batch(&["a@1", "b@2"], &[]), "team: a@1, b@2");
        assert_eq!(batch(&["a@1"], &["none"]), "team: a@1; not none");
        assert_eq!(batch(&[], &["none"]), "team: not none");
        assert_eq!(batch(&[], &[]), "team");
    }
}

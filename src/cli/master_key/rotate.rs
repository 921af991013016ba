//! `strongroom master-key rotate` replaces the master key by a new one.

use std::io::IsTerminal;

use serde_json::json;
use strongroom_client::v1::{self, RotationPhase};

use crate::cli::confirm;
use crate::cli::connect::Connection;
use crate::cli::failure::{Failure, note};
use crate::cli::namespace_key::KEPT;
use crate::cli::output::Output;
use crate::cli::progress::Progress;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Replace the master key by a new one while the service runs\n\n\
If the service can write to the file of its master key, it generates the new key and writes it to the first line. The earlier \
keys follow on the next lines. If it cannot (the key comes from a command, a passphrase, a systemd credential or a read-only \
file), the command fails and says so: put the new key on the first line yourself, keep the old key on the second line, and \
run the command again.\n\n\
The service then seals everything that the old key sealed with the new key: API keys, idempotency records and the keys of \
namespaces. It does not open values. The work continues in the service if this command is interrupted, and after a crash.\n\n\
With many replicas, put the new key on the first line of each replica's key file before: a replica whose file lacks it stops \
serving once the key is replaced.\n\n\
Afterwards the old key only opens the backups that were made with it. Keep a copy of the new file elsewhere.";

/// The arguments of `strongroom master-key rotate`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom master-key rotate
  strongroom master-key rotate --yes")]
pub(in crate::cli) struct Rotate {
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl Rotate {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        // Nothing is lost by it, so a program need not say --yes.
        if !self.yes && std::io::stdin().is_terminal() {
            let settings = connection.settings()?;
            let question = format!("Replace the master key of {} by a new one?", settings.address());
            confirm::agreed("", &question, "the master key was not replaced")?;
        }
        rotate(connection, output).await
    }
}

async fn rotate(connection: &Connection, output: Output) -> Result<(), Failure> {
    let mut replies = connection.client().await?.operator().rotate_master_key().await?;
    let mut progress = Progress::new("records sealed again", 0);
    let mut last = v1::RotateMasterKeyResponse::default();
    while let Some(reply) = replies.next().await? {
        progress.set("records sealed again", reply.seen_records, reply.total_records);
        last = reply;
    }
    drop(progress);
    if last.phase() != RotationPhase::Done {
        return Err(Failure::unreachable(
            "the connection ended before the rotation did: `strongroom master-key status` shows its progress",
        ));
    }
    let fields = [
        ("master key", last.master_key_id.clone()),
        ("from", last.source.clone()),
        ("generation", last.generation.to_string()),
        ("records", last.seen_records.to_string()),
        ("damaged", last.damaged_records.to_string()),
    ];
    let json = json!({
        "master_key_id": last.master_key_id,
        "source": last.source,
        "generation": last.generation,
        "seen_records": last.seen_records,
        "damaged_records": last.damaged_records,
    });
    output.print(&fields, &json)?;
    if last.damaged_records > 0 {
        note(KEPT);
    } else {
        note(&format!(
            "{} has a new first line: keep a copy of it elsewhere, and give it to every other replica. The old key on the \
             next line opens the backups that were made with it: keep it as long as you keep those backups",
            last.source
        ));
    }
    Ok(())
}

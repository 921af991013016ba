use serde_json::json;
use strongroom_client::v1::{self, RotationPhase};

use crate::cli::connect::Connection;
use crate::cli::failure::{Failure, note};
use crate::cli::namespace_key::KEPT;
use crate::cli::output::Output;
use crate::cli::progress::Progress;

/// What its long help begins with.
pub(super) const ABOUT: &str = "\
Put a new master key into use, while the service goes on\n\n\
Where the service can write to the file of its master key, it puts a new key on the first line, in front of those that are \
there. Where it can not (a command, a passphrase, a systemd credential, a read-only file), it says so: put the new key there \
first, on the first line, keep the old one on the line behind it, and rotate again.\n\n\
The service then seals anew what the old key opened: API keys, receipts, and the keys of namespaces. No value is touched. It \
goes on in the service when this command is interrupted, and is taken up after a crash.\n\n\
Afterwards the old key opens nothing but the backups that were made with it. Keep a copy of the new file elsewhere, and give \
it to every other replica.";

/// `strongroom master-key rotate`
pub(super) async fn run(connection: &Connection, output: Output) -> Result<(), Failure> {
    let mut replies = connection.client().await?.operator().rotate_master_key().await?;
    let mut progress = Progress::new("records sealed anew", 0);
    let mut last = v1::RotateMasterKeyResponse::default();
    while let Some(reply) = replies.next().await? {
        progress.set("records sealed anew", reply.seen_records, reply.total_records);
        last = reply;
    }
    drop(progress);
    if last.phase() != RotationPhase::Done {
        return Err(Failure::unreachable(
            "the service did not say that the master key was rotated: `strongroom master-key status` shows how far it is",
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
            "{} has a new first line: keep a copy of it elsewhere, and give it to every other replica. The old key behind \
             it opens the backups that were made with it: keep it as long as you keep those",
            last.source
        ));
    }
    Ok(())
}

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;
use strongroom_client::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::backup::{check, made_at};
use super::confirm;
use super::connect::Connection;
use super::failure::{Failure, note};
use super::output::{self, Output};
use super::progress::Progress;

/// What its long help begins with.
pub(super) const ABOUT: &str = "\
Replace everything in the service by a backup\n\n\
The service opens every record of the backup first; only then everything that it holds, API keys included, is replaced in \
one step. Where anything is wrong, what was there stays. Changes made since the backup are lost, and so are those made \
while it is restored.\n\n\
The service needs the master key that the backup was made with: start it with --master-key-file. Afterwards the API keys \
are those of the backup, its root key among them.";

/// `strongroom restore`
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom restore --verify-only strongroom-2026-11-24.backup
  strongroom restore --yes strongroom-2026-11-24.backup")]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,

    /// Only have the service look whether it can open every record, and whether none is missing; fails where it would not
    /// restore the backup
    #[arg(long)]
    verify_only: bool,

    /// Restore records too that can not be opened: they will answer as damaged
    #[arg(long)]
    accept_damaged: bool,

    /// Restore although the store that the backup was made of had been altered: records are missing, or older than they
    /// should be
    #[arg(long)]
    accept_altered: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// How much is sent at a time, in bytes.
const CHUNK: usize = 256 * 1024;

impl Restore {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let (about, bytes) = check(&self.file)?;
        if !self.verify_only && !self.yes {
            let settings = connection.settings()?;
            let (server, file, made) = (settings.address(), self.file.display(), made_at(about));
            confirm::agreed(
                "this replaces everything in the service: say --yes where nobody can be asked, or --verify-only",
                &format!("Replace everything in {server} by {file}, made {made}?"),
                "nothing was replaced",
            )?;
        }
        let operator = connection.client().await?.operator();
        let mut progress = Progress::new("bytes sent", usize::try_from(bytes).unwrap_or(usize::MAX));
        let (sender, chunks) = mpsc::channel(2);
        let sending = tokio::task::spawn_blocking({
            let file = self.file.clone();
            let message = v1::RestoreBackupRequest {
                chunk: Vec::new(),
                verify_only: self.verify_only,
                accept_damaged: self.accept_damaged,
                accept_altered: self.accept_altered,
            };
            move || send(&file, &message, &sender)
        });
        let mut replies = operator.restore_backup(ReceiverStream::new(chunks)).await?;
        let mut last = v1::RestoreBackupResponse::default();
        while let Some(reply) = replies.next().await? {
            let what = match reply.phase() {
                v1::RestorePhase::Verifying => "records opened",
                v1::RestorePhase::Replacing => "records restored",
                v1::RestorePhase::Done | v1::RestorePhase::Unspecified => "records",
            };
            progress.set(what, reply.records, reply.total_records);
            last = reply;
        }
        drop(progress);
        sending.await.map_err(|_| Failure::local("the file could not be read to its end"))??;
        if last.phase() != v1::RestorePhase::Done {
            return Err(Failure::unreachable("the service did not say whether it restored the backup"));
        }
        report(&last, output)?;
        self.judge(&last)
    }

    /// Whoever has a backup looked at wants to know by the exit status whether it would be restored.
    fn judge(&self, looked: &v1::RestoreBackupResponse) -> Result<(), Failure> {
        let refused = |why: String| Err(Failure::local(format!("it would not be restored: {why}")));
        if self.verify_only && looked.damaged_records > 0 && !self.accept_damaged {
            return refused(format!("{} of its records can not be opened", looked.damaged_records));
        }
        if self.verify_only && looked.altered && !self.accept_altered {
            return refused("records are missing, or older than they should be".to_owned());
        }
        Ok(())
    }
}

fn send(
    path: &Path,
    options: &v1::RestoreBackupRequest,
    chunks: &mpsc::Sender<v1::RestoreBackupRequest>,
) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::local(format!("{} can not be read: {error}", path.display()));
    let mut from = File::open(path).map_err(failed)?;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        Read::by_ref(&mut from).take(CHUNK as u64).read_to_end(&mut chunk).map_err(failed)?;
        let message = v1::RestoreBackupRequest { chunk, ..options.clone() };
        // Where the service takes no more, its answer says why.
        if message.chunk.is_empty() || chunks.blocking_send(message).is_err() {
            return Ok(());
        }
    }
}

fn report(reply: &v1::RestoreBackupResponse, output: Output) -> Result<(), Failure> {
    let replaced = reply.revision > 0;
    let number = |number: u64| if replaced { number.to_string() } else { String::new() };
    let made = output::time(reply.created_at.as_ref());
    let fields = [
        ("restored", if replaced { "yes" } else { "no, only looked at" }.to_owned()),
        ("made", made.clone()),
        ("of revision", reply.backup_revision.to_string()),
        ("damaged", reply.damaged_records.to_string()),
        ("altered", if reply.altered { "yes" } else { "no" }.to_owned()),
        ("revision", number(reply.revision)),
        ("namespaces", number(reply.namespaces)),
        ("secrets", number(reply.secrets)),
    ];
    let json = json!({
        "restored": replaced,
        "created_at": made,
        "backup_revision": reply.backup_revision,
        "damaged_records": reply.damaged_records,
        "altered": reply.altered,
        "revision": reply.revision,
        "namespaces": reply.namespaces,
        "secrets": reply.secrets,
    });
    output.print(&fields, &json)?;
    if replaced {
        note("the API keys are now those of the backup, its root key among them");
    }
    Ok(())
}

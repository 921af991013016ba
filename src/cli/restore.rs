//! `strongroom restore` replaces everything by a backup, or has the service check one.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;

use serde_json::json;
use strongroom_client::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::backup::{check_from, made_at};
use super::confirm;
use super::connect::Connection;
use super::failure::{Failure, note};
use super::file;
use super::output::{self, Output};
use super::progress::Progress;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Replace everything in the service by a backup\n\n\
The service first opens every record of the backup. Then it replaces everything that it holds, including API keys, in one \
step. If anything is wrong, it replaces nothing. Changes made after the backup, or while it is restored, are lost.\n\n\
The service needs the master key that the backup was made with: start it with --master-key-file. Afterwards only the API keys \
in the backup work, including its root key.";

/// The arguments of `strongroom restore`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom restore --verify-only strongroom-2026-11-24.backup
  strongroom restore --yes strongroom-2026-11-24.backup")]
pub(super) struct Restore {
    /// The backup; - is standard input
    file: PathBuf,

    /// Only let the service check that it can open every record and that none is missing; fails if the backup could not be
    /// restored
    #[arg(long)]
    verify_only: bool,

    /// Also restore records that cannot be opened; requests for them fail as damaged
    #[arg(long)]
    accept_damaged: bool,

    /// Restore a backup of a store that had been altered, so that records are missing or older than they should be
    #[arg(long)]
    accept_altered: bool,

    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// The size of a chunk in bytes.
const CHUNK: usize = 256 * 1024;

impl Restore {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            Failure::usage(format!("{} cannot be read: {error}", file::name(&self.file)))
        };
        // It is read twice: to check it before anything is sent, and to send it.
        let mut backup = file::open_to_read_twice(&self.file).map_err(failed)?;
        let (about, bytes) = check_from(&mut backup, &self.file)?;
        backup.rewind().map_err(failed)?;
        if !self.verify_only && !self.yes {
            let settings = connection.settings()?;
            let (server, file, made) = (settings.address(), file::name(&self.file), made_at(about));
            confirm::agreed(
                "this replaces everything in the service: give --yes or --verify-only, or use a terminal, which asks first",
                &format!("Replace everything in {server} by {file}, which was made at {made}?"),
                "nothing was replaced",
            )?;
        }
        let operator = connection.client().await?.operator();
        let mut progress = Progress::new("bytes sent", usize::try_from(bytes).unwrap_or(usize::MAX));
        let (sender, chunks) = mpsc::channel(2);
        let sending = tokio::task::spawn_blocking({
            let name = file::name(&self.file);
            let message = v1::RestoreBackupRequest {
                chunk: Vec::new(),
                verify_only: self.verify_only,
                accept_damaged: self.accept_damaged,
                accept_altered: self.accept_altered,
            };
            move || send(backup, &name, &message, &sender)
        });
        let mut replies = operator.restore_backup(ReceiverStream::new(chunks)).await?;
        let mut last = v1::RestoreBackupResponse::default();
        while let Some(reply) = replies.next().await? {
            let unit = match reply.phase() {
                v1::RestorePhase::Verifying => "records opened",
                v1::RestorePhase::Replacing => "records restored",
                v1::RestorePhase::Done | v1::RestorePhase::Unspecified => "records",
            };
            progress.set(unit, reply.records, reply.total_records);
            last = reply;
        }
        drop(progress);
        sending.await.map_err(|_| Failure::local("the file could not be read completely"))??;
        if last.phase() != v1::RestorePhase::Done {
            return Err(Failure::unreachable(
                "the connection ended before the service said whether it restored the backup",
            ));
        }
        report(&last, output)?;
        self.verdict(&last)
    }

    /// Fails if the backup was only checked, and could not be restored with these arguments.
    fn verdict(&self, checked: &v1::RestoreBackupResponse) -> Result<(), Failure> {
        let refused = |why: String| Err(Failure::local(format!("the backup would not be restored: {why}")));
        if self.verify_only && checked.damaged_records > 0 && !self.accept_damaged {
            return refused(format!("{} of its records cannot be opened", checked.damaged_records));
        }
        if self.verify_only && checked.altered && !self.accept_altered {
            return refused("records are missing, or older than they should be".to_owned());
        }
        Ok(())
    }
}

fn send(
    mut from: File,
    name: &str,
    options: &v1::RestoreBackupRequest,
    chunks: &mpsc::Sender<v1::RestoreBackupRequest>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::local(format!("{name} cannot be read: {error}"));
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        Read::by_ref(&mut from).take(CHUNK as u64).read_to_end(&mut chunk).map_err(failed)?;
        let message = v1::RestoreBackupRequest { chunk, ..options.clone() };
        // If the service takes no more chunks, its reply says why.
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
        ("restored", if replaced { "yes" } else { "no, only checked" }.to_owned()),
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
        note("from now on only the API keys in the backup work, including its root key");
    }
    Ok(())
}

//! `strongroom backup` writes a backup, or checks one.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::{Failure, note};
use super::file::{self, NewFile};
use super::output::{self, Output};
use super::progress::Progress;
use crate::crypto::{About, BackupCheck, BackupError};

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Back up everything while the service runs\n\n\
The file has everything that the store holds at one moment, including API keys. It is sealed with the service's master key \
and does not contain that key. Nobody can restore it without the key, so keep a copy of the key elsewhere. The file appears \
when it is complete.\n\n\
'strongroom restore FILE --verify-only' lets the service check every record in it.";

/// The arguments of `strongroom backup`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom backup strongroom-2026-11-24.backup
  strongroom backup - | ssh elsewhere 'cat > strongroom.backup'
  strongroom backup --check strongroom-2026-11-24.backup")]
pub(super) struct Backup {
    /// The file to write, or to check; only you can read a new file; - is standard output, or standard input
    file: PathBuf,

    /// Replace an existing file
    #[arg(long)]
    overwrite: bool,

    /// Only check that the file is a complete backup; this needs neither the service nor a key
    #[arg(long, conflicts_with = "overwrite")]
    check: bool,
}

impl Backup {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        if self.check {
            let (about, bytes) = check(&self.file)?;
            return report(&self.file, bytes, about, about.revision, None, output);
        }
        if !self.overwrite && !file::is_standard(&self.file) && fs::symlink_metadata(&self.file).is_ok() {
            let taken = format!("{} exists: choose another name, or give --overwrite", self.file.display());
            return Err(Failure::usage(taken));
        }
        if file::is_standard(&self.file) {
            file::refuse_terminal("a backup is binary")?;
        }
        let mut file = To::open(&self.file)?;
        let mut chunks = connection.client().await?.operator().create_backup().await?;
        let mut progress = Progress::new("records", 0);
        let (mut check, mut bytes, mut last) = (BackupCheck::new(), 0, v1::CreateBackupResponse::default());
        while let Some(reply) = chunks.next().await? {
            check.update(&reply.chunk).map_err(not_whole)?;
            file.write(&reply.chunk)?;
            bytes += reply.chunk.len() as u64;
            progress.set("records", reply.records, reply.expected_records);
            last = reply;
        }
        let about = check.finish().map_err(not_whole)?;
        file.keep()?;
        drop(progress);
        if file::is_standard(&self.file) {
            // Standard output has the backup itself.
            note(&format!("the backup has {} records and {bytes} bytes", last.records));
            return Ok(());
        }
        report(&self.file, bytes, about, last.revision, Some(last.records), output)
    }
}

/// Where a backup is written.
enum To {
    Stdout,
    File(NewFile),
}

impl To {
    fn open(path: &Path) -> Result<Self, Failure> {
        if file::is_standard(path) { Ok(Self::Stdout) } else { NewFile::create(path).map(Self::File) }
    }

    fn write(&mut self, content: &[u8]) -> Result<(), Failure> {
        match self {
            // A reader that has gone must not make half a backup look whole.
            Self::Stdout => output::write_all(content),
            Self::File(file) => file.write(content),
        }
    }

    fn keep(self) -> Result<(), Failure> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(file) => file.keep(),
        }
    }
}

/// Checks that a file is a complete backup; returns its header and its length in bytes.
pub(super) fn check(path: &Path) -> Result<(About, u64), Failure> {
    let failed =
        |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", file::name(path)));
    check_from(&mut file::open(path).map_err(failed)?, path)
}

/// Checks what is left to read of a backup.
pub(super) fn check_from(from: &mut dyn Read, path: &Path) -> Result<(About, u64), Failure> {
    let failed =
        |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", file::name(path)));
    let (mut check, mut bytes, mut buffer) = (BackupCheck::new(), 0, vec![0; 256 * 1024]);
    loop {
        let read = from.read(&mut buffer).map_err(failed)?;
        let some = buffer.get(..read).unwrap_or_default();
        if some.is_empty() {
            break;
        }
        bytes += some.len() as u64;
        check.update(some).map_err(|error| refused(path, error))?;
    }
    Ok((check.finish().map_err(|error| refused(path, error))?, bytes))
}

/// When a backup was made, in RFC 3339.
pub(super) fn made_at(about: About) -> String {
    let seconds = about.created_at.div_euclid(1_000_000);
    output::time(Some(&prost_types::Timestamp { seconds, nanos: 0 }))
}

fn refused(path: &Path, error: BackupError) -> Failure {
    Failure::local(format!("{}: {error}", file::name(path)))
}

fn not_whole(error: BackupError) -> Failure {
    Failure::local(format!("the service did not send a complete backup: {error}"))
}

fn report(
    path: &Path,
    bytes: u64,
    about: About,
    revision: u64,
    records: Option<u64>,
    output: Output,
) -> Result<(), Failure> {
    let (file, made) = (file::name(path), made_at(about));
    let fields = [
        ("file", file.clone()),
        ("whole", "yes".to_owned()),
        ("made", made.clone()),
        ("revision", revision.to_string()),
        ("records", records.map(|records| records.to_string()).unwrap_or_default()),
        ("bytes", bytes.to_string()),
    ];
    let json = json!({
        "file": file,
        "whole": true,
        "created_at": made,
        "revision": revision,
        "records": records,
        "bytes": bytes,
    });
    output.print(&fields, &json)
}

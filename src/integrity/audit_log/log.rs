//! The log's files as they are written: records in groups, hashes beside them, and a checkpoint at each end of a file.
//!
//! A group is written whole or not at all: where a write fails, what was written of the group is cut off again. A record counts
//! once it is written; it survives a crash of the machine once [`Log::sync`] has returned. Nothing is signed before that.
//! `recorder.rs` has the log, and lets one thread at a time use it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::folder::{Folder, Hashes, Listing, NewHashes, open_records, reserve};
use super::note::{LogKey, VerifierKey};
use super::tree::{GrowingTree, TreeHead, leaf_hash};
use super::verify::Breach;
use crate::audit::{FILES_REMOVED, Line};
use crate::config::AuditSettings;
use crate::crypto::{self, Digest};
use crate::domain::{Timestamp, now};

/// How many bytes of room on the disk are taken ahead of the records.
const RESERVE: u64 = 4 << 20;
/// The size of a small record, in bytes.
const SMALL_RECORD: u64 = 256;

/// Why a log cannot be opened, or goes on no more.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be read or written.
    #[error("{} cannot be used: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The log is not as it was written.
    #[error("{0}")]
    Broken(Box<Breach>),
    /// The operating system gave no random numbers, or the key cannot sign.
    #[error(transparent)]
    Crypto(#[from] crypto::Error),
}

impl LogError {
    /// Whether the log itself is broken: something in the folder is missing, or is not what it should be. Otherwise the system
    /// refuses something, such as the access to a file.
    pub fn is_broken(&self) -> bool {
        use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, UnexpectedEof};
        match self {
            Self::Broken(_) => true,
            Self::File(_, error) => {
                matches!(error.kind(), InvalidData | IsADirectory | NotADirectory | NotFound | UnexpectedEof)
            }
            Self::Crypto(_) => false,
        }
    }
}

/// A log that is open to be written.
pub(super) struct Log {
    folder: Folder,
    key: Arc<LogKey>,
    settings: AuditSettings,
    hashes: Hashes,
    active: Active,
    written: Written,
    /// The state at the last sync, and the records since then.
    synced: Written,
    unsynced: Vec<u8>,
    /// Up to which length there is room for the file of records on the disk.
    reserved: u64,
    /// The last sync failed. Nothing is written before one succeeds.
    unsyncable: bool,
    /// What is in the file and the hashes behind `written` is to be cut off.
    torn: bool,
    /// The tree of the newest checkpoint that was written.
    checkpointed: u64,
    /// Whether this process has begun the log.
    begun: bool,
}

/// How far the log is written.
#[derive(Clone)]
struct Written {
    tree: GrowingTree,
    /// The length of the file of records, in bytes.
    length: u64,
    /// The digest of those bytes.
    digest: Digest,
}

/// The file that records are written to.
struct Active {
    first: u64,
    path: PathBuf,
    file: File,
    since: Timestamp,
    /// The file as it was after the last write.
    seen: Option<Seen>,
}

/// What tells whether something else has written to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Seen {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn at<T>(path: &std::path::Path, result: io::Result<T>) -> Result<T, LogError> {
    result.map_err(|error| LogError::File(path.to_owned(), error))
}

fn broken(file: PathBuf, line: Option<u64>, problem: impl Into<String>) -> LogError {
    LogError::Broken(Box::new(Breach { file, line, problem: problem.into() }))
}

impl Log {
    /// Opens the log in a folder. Where there is none, begins one.
    pub(super) fn open(path: PathBuf, settings: AuditSettings) -> Result<Self, LogError> {
        let folder = Folder::new(path);
        at(folder.path(), folder.make())?;
        let listing = at(folder.path(), folder.list())?;
        let (key, begun) = open_key(&folder, &listing)?;
        let hashes = at(folder.path(), Hashes::open(&folder, true))?;
        let newest = newest_checkpoint(&folder, key.verifier())?;
        refuse_gaps(&folder, &listing, newest)?;
        let first = listing.records.last().copied().unwrap_or_default();
        let tree = tree_before(&folder, &hashes, key.verifier(), first)?;
        let records = folder.records(first);
        let file = at(&records, open_records(&records, listing.records.is_empty()))?;
        let since = at(&records, file.metadata())
            .map(|metadata| metadata.created().unwrap_or_else(|_| changed(&metadata)).into())?;
        let active = Active { first, path: records, file, since, seen: None };
        let written = Written { tree, length: 0, digest: Digest::new() };
        let synced = written.clone();
        let checkpointed = newest.map_or(0, |head| head.size);
        let unsynced = Vec::new();
        let key = Arc::new(key);
        let mut log = Self {
            folder,
            key,
            settings,
            hashes,
            active,
            written,
            synced,
            unsynced,
            reserved: 0,
            unsyncable: false,
            torn: false,
            checkpointed,
            begun,
        };
        log.read_active(newest)?;
        log.sync()?;
        if log.size() > first && listing.checkpoints.contains(&log.size()) {
            // A crash came between the end of the file and the beginning of the next one.
            log.rotate()?;
        }
        Ok(log)
    }

    /// Reads the records of the active file, and writes their hashes again. A line that is not complete is cut off: a crash left
    /// it, and nobody was told that it is there.
    fn read_active(&mut self, newest: Option<TreeHead>) -> Result<(), LogError> {
        let path = self.active.path.clone();
        let mut text = Vec::new();
        at(&path, self.active.file.seek(SeekFrom::Start(0)))?;
        at(&path, self.active.file.read_to_end(&mut text))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        text.truncate(whole);
        let base = self.written.tree.size();
        let mut hashes = NewHashes::default();
        for record in records(&text) {
            self.written.tree.push(leaf_hash(record), |level, root| hashes.add(level, root));
            if let Some(newest) = newest
                && newest.size == self.written.tree.size()
                && newest.root != self.written.tree.head().root
            {
                return Err(self.diagnosed(
                    "The file was altered: its records do not give the tree of the newest checkpoint.",
                ));
            }
        }
        if let Some(newest) = newest.filter(|newest| newest.size > self.written.tree.size()) {
            let missing = newest.size - self.written.tree.size();
            let problem =
                format!("The file ends too early: the newest checkpoint vouches for {missing} more records.");
            return Err(self.diagnosed(&problem));
        }
        self.written.digest.update(&text);
        self.written.length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        at(self.folder.path(), self.hashes.cut(base))?;
        at(self.folder.path(), self.hashes.append(base, &hashes))?;
        at(&path, self.active.file.set_len(self.written.length))?;
        at(&path, self.active.file.metadata()).map(|metadata| self.active.seen = Some(Seen::of(&metadata)))
    }

    /// The first place where the log is broken, as far as its files tell it; otherwise the problem of the active file.
    fn diagnosed(&self, problem: &str) -> LogError {
        match super::verify(self.folder.path(), &super::Expected::default()) {
            Err(super::VerifyError::Broken(breach)) => LogError::Broken(breach),
            _ => broken(self.active.path.clone(), None, problem),
        }
    }

    /// Whether this process has begun the log.
    pub(super) fn is_begun(&self) -> bool {
        self.begun
    }

    /// The key that signs its checkpoints.
    pub(super) fn key(&self) -> &Arc<LogKey> {
        &self.key
    }

    /// The number of records that are written.
    pub(super) fn size(&self) -> u64 {
        self.written.tree.size()
    }

    /// The numbers of the records behind the newest checkpoint. Only the file vouches for them.
    pub(super) fn unsigned(&self) -> Range<u64> {
        self.checkpointed..self.size()
    }

    /// The tree that survives a crash of the machine.
    pub(super) fn synced(&self) -> TreeHead {
        self.synced.tree.head()
    }

    /// Whether something was written since the last sync.
    pub(super) fn is_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// Whether nothing has to be mended, synced or read again before the next record.
    pub(super) fn is_sound(&self) -> bool {
        let is_untouched =
            || fs::metadata(&self.active.path).is_ok_and(|now| self.active.seen == Some(Seen::of(&now)));
        !self.torn && !self.unsyncable && is_untouched()
    }

    /// Writes a group of records: lines, each with its line feed.
    pub(super) fn append(&mut self, text: &[u8]) -> Result<(), LogError> {
        if self.unsyncable {
            self.sync()?;
        }
        self.mend()?;
        self.refuse_altered()?;
        self.write(text)?;
        self.unsynced.extend_from_slice(text);
        Ok(())
    }

    fn write(&mut self, text: &[u8]) -> Result<(), LogError> {
        self.reserve();
        let mut next = self.written.clone();
        let mut hashes = NewHashes::default();
        for record in records(text) {
            next.tree.push(leaf_hash(record), |level, root| hashes.add(level, root));
        }
        next.digest.update(text);
        next.length += u64::try_from(text.len()).unwrap_or(u64::MAX);
        let (size, length) = (self.written.tree.size(), self.written.length);
        self.torn = true;
        at(self.folder.path(), self.hashes.append(size, &hashes))?;
        at(&self.active.path, self.active.file.write_all_at(text, length))?;
        self.torn = false;
        self.written = next;
        let metadata = at(&self.active.path, self.active.file.metadata())?;
        self.active.seen = Some(Seen::of(&metadata));
        Ok(())
    }

    /// Takes room on the disk ahead of the records, where less than half of it is left.
    fn reserve(&mut self) {
        let length = self.written.length;
        if self.reserved < length + RESERVE / 2 {
            reserve(&self.active.file, length, RESERVE);
            self.hashes.reserve(self.written.tree.size(), RESERVE / SMALL_RECORD);
            self.reserved = length + RESERVE;
            // The system may count this as a change of the file.
            self.active.seen =
                self.active.file.metadata().ok().map(|metadata| Seen::of(&metadata)).or(self.active.seen);
        }
    }

    /// Cuts off what a write that failed has left.
    fn mend(&mut self) -> Result<(), LogError> {
        if self.torn {
            at(&self.active.path, self.active.file.set_len(self.written.length))?;
            at(self.folder.path(), self.hashes.cut(self.written.tree.size()))?;
            let metadata = at(&self.active.path, self.active.file.metadata())?;
            self.active.seen = Some(Seen::of(&metadata));
            self.torn = false;
        }
        Ok(())
    }

    /// Makes everything that is written durable. After a failure, the system may have forgotten what it could not write: so it is
    /// written again.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.mend()?;
        self.unsyncable = true;
        self.write_again()?;
        if let Err(error) = self.active.file.sync_data() {
            self.forget_unsynced();
            self.mend()?;
            self.write_again()?;
            return Err(LogError::File(self.active.path.clone(), error));
        }
        self.unsyncable = false;
        self.synced = self.written.clone();
        self.unsynced.clear();
        Ok(())
    }

    /// What was written since the last sync counts as not written: a sync has failed.
    pub(super) fn forget_unsynced(&mut self) {
        self.written = self.synced.clone();
        self.torn = true;
        self.unsyncable = true;
    }

    /// Writes again what was forgotten. Where that fails, the next sync begins with it.
    fn write_again(&mut self) -> Result<(), LogError> {
        if self.unsynced.is_empty() || self.written.tree.size() > self.synced.tree.size() {
            return Ok(());
        }
        let again = std::mem::take(&mut self.unsynced);
        let written = self.write(&again);
        self.unsynced = again;
        written
    }

    /// Fails where something else has altered, replaced or removed the file that records are written to. What looks altered is read
    /// again: a copy of the file that was put back is as good as the file.
    pub(super) fn refuse_altered(&mut self) -> Result<(), LogError> {
        let there = match fs::metadata(&self.active.path) {
            Ok(metadata) => Seen::of(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(broken(
                    self.active.path.clone(),
                    None,
                    "The file was removed while the server writes to it.",
                ));
            }
            Err(error) => return Err(LogError::File(self.active.path.clone(), error)),
        };
        if self.active.seen == Some(there) {
            return Ok(());
        }
        let file = at(&self.active.path, open_records(&self.active.path, false))?;
        let mut digest = Digest::new();
        let mut left = self.written.length;
        let mut part = vec![0; 1 << 16];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
            let Some(part) = part.get_mut(..want) else { break };
            match file.read_exact_at(part, self.written.length - left) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => at(&self.active.path, read)?,
            }
            digest.update(part);
            left -= u64::try_from(want).unwrap_or(left);
        }
        if left > 0 || digest.finish() != self.written.digest.finish() || there.length != self.written.length
        {
            let problem = "Something else has altered the file while the server writes to it.";
            return Err(broken(self.active.path.clone(), None, problem));
        }
        // The device and inode may be others, and then this file is the one to write to.
        self.active.file = file;
        self.active.seen = Some(there);
        Ok(())
    }

    /// Ends the active file where it is large or old enough, and begins the next one.
    pub(super) fn rotate_if_due(&mut self) -> Result<(), LogError> {
        let age = self.active.since.until(now());
        let due = self.written.length >= self.settings.file_size.as_u64() || age >= self.settings.file_age;
        if due && self.written.tree.size() > self.active.first { self.rotate() } else { Ok(()) }
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        self.refuse_altered()?;
        self.sync()?;
        at(self.folder.path(), self.hashes.sync())?;
        let head = self.synced();
        let note = self.key.sign(&head)?;
        let (sealed, next) = (self.folder.checkpoint_at(head.size), self.folder.records(head.size));
        at(&sealed, Folder::write(&sealed, &note))?;
        self.write_checkpoint()?;
        let file = match open_records(&next, true) {
            // Left by an attempt that failed afterwards.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                at(&next, open_records(&next, false))?
            }
            opened => at(&next, opened)?,
        };
        let metadata = at(&next, file.metadata())?;
        if metadata.len() > 0 {
            return Err(broken(
                next,
                None,
                "Something else has made this file, which the server is to make.",
            ));
        }
        at(self.folder.path(), self.folder.sync())?;
        let seen = Some(Seen::of(&metadata));
        let next = Active { first: head.size, path: next, file, since: now(), seen };
        let sealed_file = std::mem::replace(&mut self.active, next).file;
        // What is left of the room behind its end.
        let _ = sealed_file.set_len(self.written.length);
        (self.written.length, self.written.digest) = (0, Digest::new());
        self.reserved = 0;
        self.synced = self.written.clone();
        Ok(())
    }

    /// Writes the newest checkpoint, where it has moved on.
    pub(super) fn write_checkpoint(&mut self) -> Result<(), LogError> {
        let head = self.synced();
        if head.size == self.checkpointed {
            return Ok(());
        }
        let (path, note) = (self.folder.newest_checkpoint(), self.key.sign(&head)?);
        at(&path, Folder::write(&path, &note))?;
        self.checkpointed = head.size;
        Ok(())
    }

    /// Removes the files whose retention is over, and returns their paths. A record says so before they go.
    pub(super) fn remove_expired(&mut self) -> Result<Vec<PathBuf>, LogError> {
        let listing = at(self.folder.path(), self.folder.list())?;
        let sealed: Vec<_> = listing.records.range(..self.active.first).copied().collect();
        let mut sizes = Vec::new();
        for first in &sealed {
            let path = self.folder.records(*first);
            sizes.push(at(&path, fs::metadata(&path))?);
        }
        let mut total: u64 = sizes.iter().map(Metadata::len).sum::<u64>() + self.written.length;
        let most = self.settings.max_size.map_or(u64::MAX, |size| size.as_u64());
        let expired = |metadata: &Metadata, total: u64| {
            let age = changed(metadata).elapsed().unwrap_or(Duration::ZERO);
            total > most || self.settings.retention.is_some_and(|retention| age > retention)
        };
        let mut remove = Vec::new();
        for (first, metadata) in sealed.iter().zip(&sizes) {
            if !expired(metadata, total) {
                break;
            }
            total -= metadata.len();
            remove.push(*first);
        }
        let Some(last) = remove.last() else { return Ok(Vec::new()) };
        let kept = listing.records.range(last + 1..).next().copied().unwrap_or(self.active.first);
        let line = Line { removed_before: Some(kept), ..Line::event(FILES_REMOVED, now()) };
        self.append(&line.to_text())?;
        self.sync()?;
        let removed: Vec<_> = remove.into_iter().map(|first| self.folder.records(first)).collect();
        for path in &removed {
            at(path, fs::remove_file(path))?;
        }
        at(self.folder.path(), self.folder.sync())?;
        Ok(removed)
    }

    /// The files that are not written to any more, as they are now.
    pub(super) fn sealed(&self) -> Result<Vec<(PathBuf, Seen)>, LogError> {
        let listing = at(self.folder.path(), self.folder.list())?;
        let sealed = listing.records.range(..self.active.first).map(|first| self.folder.records(*first));
        sealed.map(|path| Ok((path.clone(), Seen::of(&at(&path, fs::metadata(&path))?)))).collect()
    }
}

/// The records of a text of whole lines.
fn records(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

fn changed(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The key of the log. True: the log begins now.
fn open_key(folder: &Folder, listing: &Listing) -> Result<(LogKey, bool), LogError> {
    let (private, public) = (folder.private_key(), folder.public_key());
    let (key, begun) = match at(&private, Folder::read(&private))? {
        Some(text) => match LogKey::parse(text.trim_end()) {
            Some(key) => (key, false),
            None => return Err(broken(private, None, "The file is not the key of an audit log.")),
        },
        None if *listing == Listing::default() => {
            let key = LogKey::generate()?;
            at(&private, Folder::write(&private, &format!("{}\n", *key.to_text())))?;
            (key, true)
        }
        None => return Err(broken(private, None, "The log has records, but its key is gone.")),
    };
    let line = format!("{}\n", key.verifier());
    if at(&public, Folder::read(&public))?.as_deref() != Some(&line) {
        at(&public, Folder::write(&public, &line))?;
    }
    Ok((key, begun))
}

fn newest_checkpoint(folder: &Folder, key: &VerifierKey) -> Result<Option<TreeHead>, LogError> {
    let path = folder.newest_checkpoint();
    let Some(note) = at(&path, Folder::read(&path))? else { return Ok(None) };
    match key.open(&note) {
        Ok(head) => Ok(Some(head)),
        Err(error) => Err(broken(path, None, format!("The checkpoint does not count: {error}."))),
    }
}

/// Fails where a file is missing between others, as far as their names tell it.
fn refuse_gaps(folder: &Folder, listing: &Listing, newest: Option<TreeHead>) -> Result<(), LogError> {
    let missing =
        |first| broken(folder.records(first), None, "The file is missing: its records were removed.");
    let (Some(first), Some(last)) = (listing.records.first(), listing.records.last()) else {
        let any = newest.is_some_and(|head| head.size > 0) || !listing.checkpoints.is_empty();
        return if any { Err(missing(0)) } else { Ok(()) };
    };
    for begin in listing.checkpoints.range(*first..=*last) {
        if !listing.records.contains(begin) {
            return Err(missing(*begin));
        }
    }
    for begin in listing.records.range(*first + 1..) {
        if !listing.checkpoints.contains(begin) {
            return Err(broken(folder.checkpoint_at(*begin), None, "The file is missing."));
        }
    }
    // A file that ended is followed by another one.
    match listing.checkpoints.last() {
        Some(end) if end > last && newest.is_some_and(|head| head.size > *end) => Err(missing(*end)),
        _ => Ok(()),
    }
}

/// The tree of the records before the active file.
fn tree_before(
    folder: &Folder,
    hashes: &Hashes,
    key: &VerifierKey,
    first: u64,
) -> Result<GrowingTree, LogError> {
    let tree = match GrowingTree::read(hashes, first) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let path = folder.path().join("hashes-0");
            return Err(broken(path, None, "Hashes of records are missing."));
        }
        read => at(folder.path(), read)?,
    };
    if first > 0 {
        let path = folder.checkpoint_at(first);
        let note = at(&path, Folder::read(&path))?.unwrap_or_default();
        let head = key.open(&note);
        let head = head.map_err(|error| {
            broken(path.clone(), None, format!("The checkpoint does not count: {error}."))
        })?;
        if head != tree.head() {
            return Err(broken(
                path,
                None,
                "The hashes of the records before do not give the tree of this checkpoint.",
            ));
        }
    }
    Ok(tree)
}

//! Verifies a log from its files alone, and names the first place that is not as it was written.
//!
//! Every record is hashed again, and the tree of the hashes is compared with each signed checkpoint. The hashes that were written
//! beside the records say where the records differ; only the checkpoints prove anything.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::folder::{Folder, Hashes, Listing};
use super::note::{NoteError, VerifierKey};
use super::tree::{GrowingTree, Hash, Subtrees, TreeHead, leaf_hash};
use crate::audit::{FILES_REMOVED, Line};

/// The length of a line that no record can have, in bytes: a record has at most the names of one document, which is shorter.
const MAX_LINE: u64 = 4 << 20;

/// A log that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The name of the log's key, which is its origin.
    pub origin: String,
    /// The tree of all its records.
    pub head: TreeHead,
    /// The size of the newest tree that a signed checkpoint vouches for.
    pub signed: u64,
    /// The number of the first record that is still in a file.
    pub first: u64,
    /// How many files of records there are.
    pub files: usize,
    /// Whether the last line is not complete, as a crash can leave it, or a server that is writing it now.
    pub unfinished: bool,
}

/// The first place where a log is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; `None` where the problem has none.
    pub line: Option<u64>,
    /// The problem, as a whole sentence.
    pub problem: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            Some(line) => write!(f, ", line {line}: {}", self.problem),
            None => write!(f, ": {}", self.problem),
        }
    }
}

/// Why a log was not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log is not as it was written.
    #[error("{0}")]
    Broken(Box<Breach>),
    /// A file cannot be read.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// No checkpoint is in the folder, so nothing there vouches for the records.
    #[error("{0}")]
    NoCheckpoint(Unsigned),
    /// There is no log, or its key is missing.
    #[error("{} has no key of an audit log: give the folder of a log, or its key", .0.display())]
    NoKey(PathBuf),
    /// The checkpoint that the log is compared with does not count.
    #[error("the checkpoint cannot be used: {0}")]
    Checkpoint(NoteError),
}

/// A log without its newest checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    /// The file of the checkpoint, which is missing.
    pub file: PathBuf,
    /// The size of the newest tree that something else vouches for.
    pub signed: u64,
    /// How many records there are.
    pub records: u64,
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, signed, records } = self;
        write!(f, "{}: The checkpoint is missing, so nothing vouches for the records", file.display())?;
        match signed {
            0 => write!(f, " ({records}).")?,
            _ => write!(f, " from number {signed} on.")?,
        }
        write!(
            f,
            " They may have been altered, and others may have been cut off. A server signs a checkpoint every 5 seconds and when \
             it stops. A server that was killed in its first seconds may have none yet: start it once, and verify again."
        )
    }
}

/// What a log is compared with, apart from its own files.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The key that must have signed the checkpoints; `None`: the key in the folder.
    pub key: Option<VerifierKey>,
    /// A checkpoint that was kept elsewhere: nothing before it may have changed.
    pub checkpoint: Option<String>,
    /// A tree that the log had. Records behind it are not looked at, and the folder needs no checkpoint.
    pub head: Option<TreeHead>,
}

/// Verifies the log in a folder.
pub fn verify(path: &Path, expected: &Expected) -> Result<Verified, VerifyError> {
    let folder = Folder::new(path.to_owned());
    let key = match &expected.key {
        Some(key) => key.clone(),
        None => stored_key(&folder)?,
    };
    let mut known = Known { key, roots: BTreeMap::new() };
    // Read before the records, which can become more meanwhile.
    let newest = folder.newest_checkpoint();
    let is_checkpoint_missing = !known.add_file(&newest)?;
    let listing = folder.list().map_err(|error| VerifyError::File(path.to_owned(), error))?;
    for size in &listing.checkpoints {
        known.add_file(&folder.checkpoint_at(*size))?;
    }
    if let Some(note) = &expected.checkpoint {
        let head = known.key.open(note).map_err(VerifyError::Checkpoint)?;
        known.add(head, "the given checkpoint")?;
    }
    if let Some(head) = expected.head {
        known.add(head, "the running server")?;
    }
    let hashes = Hashes::open(&folder, false).ok();
    let limit = expected.head.map(|head| head.size);
    let tree = GrowingTree::default();
    let walk = Walk { folder: &folder, known, hashes, limit, tree, suspect: None, removed_before: 0 };
    let verified = walk.run(&listing)?;
    if is_checkpoint_missing && expected.head.is_none() {
        let Verified { head, signed, .. } = verified;
        return Err(VerifyError::NoCheckpoint(Unsigned { file: newest, signed, records: head.size }));
    }
    Ok(verified)
}

fn stored_key(folder: &Folder) -> Result<VerifierKey, VerifyError> {
    let path = folder.public_key();
    let text = Folder::read(&path).map_err(|error| VerifyError::File(path.clone(), error))?;
    text.and_then(|text| VerifierKey::parse(text.trim_end())).ok_or(VerifyError::NoKey(path))
}

fn broken(file: PathBuf, line: Option<u64>, problem: impl Into<String>) -> VerifyError {
    VerifyError::Broken(Box::new(Breach { file, line, problem: problem.into() }))
}

/// The roots that are known, by the sizes of their trees, each with its source.
struct Known {
    key: VerifierKey,
    roots: BTreeMap<u64, (Hash, String)>,
}

impl Known {
    /// Adds a checkpoint of the folder. False: there is none.
    fn add_file(&mut self, path: &Path) -> Result<bool, VerifyError> {
        let note = Folder::read(path).map_err(|error| VerifyError::File(path.to_owned(), error))?;
        let Some(note) = note else { return Ok(false) };
        match self.key.open(&note) {
            Ok(head) => self.add(head, &path.display().to_string()).map(|()| true),
            Err(error) => {
                Err(broken(path.to_owned(), None, format!("The checkpoint does not count: {error}.")))
            }
        }
    }

    fn add(&mut self, head: TreeHead, source: &str) -> Result<(), VerifyError> {
        let (root, other) = self.roots.entry(head.size).or_insert_with(|| (head.root, source.to_owned()));
        if *root == head.root {
            return Ok(());
        }
        let problem =
            format!("It has another tree of {} records than {other}: the log was written again.", head.size);
        Err(broken(source.into(), None, problem))
    }
}

struct Walk<'a> {
    folder: &'a Folder,
    known: Known,
    /// The hashes that were written beside the records, where they can be read.
    hashes: Option<Hashes>,
    /// How many records are looked at.
    limit: Option<u64>,
    tree: GrowingTree,
    /// The first record that does not have the hash that was written beside it.
    suspect: Option<Breach>,
    /// The number before which the log says that files were removed.
    removed_before: u64,
}

impl Walk<'_> {
    fn run(mut self, listing: &Listing) -> Result<Verified, VerifyError> {
        let first = listing.records.first().copied().unwrap_or_default();
        self.skip_removed(first)?;
        let (mut unfinished, mut last_line) = (false, 0);
        let mut numbers = listing.records.iter().copied().peekable();
        while let Some(number) = numbers.next() {
            if self.is_at_limit() {
                break;
            }
            (last_line, unfinished) = self.read_file(number)?;
            if let Some(next) = numbers.peek().copied() {
                self.ends_at(number, next, last_line, unfinished, listing)?;
            }
        }
        if let Some(suspect) = self.suspect.take() {
            return Err(VerifyError::Broken(Box::new(suspect)));
        }
        self.refuse_cut(listing, last_line)?;
        if self.removed_before < first {
            let problem = "The file is missing, and no record of the log says that it was removed.";
            return Err(broken(self.folder.records(0), None, problem));
        }
        let head = self.tree.head();
        let signed = self.known.roots.range(..=head.size).next_back().map_or(0, |(size, _)| *size);
        let (origin, files) = (self.known.key.name().to_owned(), listing.records.len());
        Ok(Verified { origin, head, signed, first, files, unfinished })
    }

    /// Takes the hashes of the records whose files were removed.
    fn skip_removed(&mut self, first: u64) -> Result<(), VerifyError> {
        while self.tree.size() < first {
            let hash = self.written_hash(self.tree.size());
            let Some(leaf) = hash else {
                let line = "The hashes of records are missing whose files were removed.";
                return Err(broken(self.folder.path().join("hashes-0"), None, line));
            };
            self.tree.push(leaf, |_, _| ());
            if let Some(source) = self.differs_from_known() {
                let problem = format!(
                    "The hashes of the first {} records do not give the tree of {source}: hashes were altered.",
                    self.tree.size()
                );
                return Err(broken(self.folder.path().join("hashes-0"), None, problem));
            }
        }
        Ok(())
    }

    /// Reads a file of records. Returns its number of lines, and whether the last one is not complete.
    fn read_file(&mut self, first: u64) -> Result<(u64, bool), VerifyError> {
        let path = self.folder.records(first);
        let failed = |error| VerifyError::File(path.clone(), error);
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&path).map_err(failed)?);
        let (mut line, mut number) = (Vec::new(), 0);
        while !self.is_at_limit() {
            line.clear();
            if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(failed)? == 0 {
                break;
            }
            let Some(record) = line.strip_suffix(b"\n") else {
                if line.len() as u64 == MAX_LINE {
                    let problem = "This line is longer than a record can be: something else wrote it.";
                    return Err(broken(path.clone(), Some(number + 1), problem));
                }
                return Ok((number, true));
            };
            number += 1;
            self.take(&path, number, record)?;
        }
        Ok((number, false))
    }

    /// Adds a record to the tree.
    fn take(&mut self, path: &Path, line: u64, record: &[u8]) -> Result<(), VerifyError> {
        let (index, leaf) = (self.tree.size(), leaf_hash(record));
        if record.windows(FILES_REMOVED.len()).any(|window| window == FILES_REMOVED.as_bytes())
            && let Some(Line { event: Some(event), removed_before: Some(before), .. }) = Line::parse(record)
            && event == FILES_REMOVED
        {
            self.removed_before = self.removed_before.max(before);
        }
        if self.suspect.is_none()
            && let Some(written) = self.written_hash(index)
            && written != leaf
        {
            let problem = self.explain(index, &leaf);
            self.suspect = Some(Breach { file: path.to_owned(), line: Some(line), problem });
        }
        self.tree.push(leaf, |_, _| ());
        let differs = self.differs_from_known();
        match (differs, self.suspect.take()) {
            (Some(_), Some(suspect)) => Err(VerifyError::Broken(Box::new(suspect))),
            (Some(source), None) => {
                let since =
                    self.known.roots.range(..self.tree.size()).next_back().map_or(0, |(size, _)| *size);
                let problem = format!(
                    "The records {since} to {} do not give the tree of {source}: one of them was altered, and its hash too.",
                    self.tree.size() - 1
                );
                Err(broken(path.to_owned(), Some(line), problem))
            }
            // A checkpoint vouches for the records, so it is the hash beside them that was altered.
            (None, Some(_)) if self.known.roots.contains_key(&self.tree.size()) => {
                let problem = format!(
                    "The hash of record {index} or of one before it was altered; the records were not."
                );
                Err(broken(self.folder.path().join("hashes-0"), None, problem))
            }
            (None, suspect) => {
                self.suspect = suspect;
                Ok(())
            }
        }
    }

    /// What happened to a record that does not have the hash written beside it.
    fn explain(&self, index: u64, leaf: &Hash) -> String {
        if self.written_hash(index + 1).as_ref() == Some(leaf) {
            "This is not the record that was written here, but the next one: a record was removed before it, or two were swapped."
        } else if index > 0 && self.written_hash(index - 1).as_ref() == Some(leaf) {
            "This is not the record that was written here, but the one before: a record was inserted."
        } else {
            "This is not the record that was written here: it was altered."
        }
        .to_owned()
    }

    /// Fails unless a file ends where the next one begins.
    fn ends_at(
        &mut self,
        number: u64,
        next: u64,
        lines: u64,
        unfinished: bool,
        listing: &Listing,
    ) -> Result<(), VerifyError> {
        let size = self.tree.size();
        if size == next && !unfinished {
            return Ok(());
        }
        if let Some(suspect) = self.suspect.take() {
            return Err(VerifyError::Broken(Box::new(suspect)));
        }
        if size < next && listing.checkpoints.contains(&size) && size > number {
            return Err(broken(
                self.folder.records(size),
                None,
                "The file is missing: its records were removed.",
            ));
        }
        let problem = if size < next {
            format!("The file ends here, but {} more records were written: its end was cut off.", next - size)
        } else {
            "The file has more records than were written to it.".to_owned()
        };
        Err(broken(self.folder.records(number), Some(lines), problem))
    }

    /// Fails where a known tree has more records than there are.
    fn refuse_cut(&self, listing: &Listing, last_line: u64) -> Result<(), VerifyError> {
        let size = self.tree.size();
        let Some((most, (_, source))) = self.known.roots.last_key_value() else { return Ok(()) };
        if *most <= size || self.is_at_limit() {
            return Ok(());
        }
        let problem = format!(
            "The log ends after {size} records, but {source} vouches for {most}: the last {} were cut off.",
            most - size
        );
        match listing.records.last() {
            // The last file was sealed, so another one followed it.
            Some(_) if listing.checkpoints.contains(&size) => {
                Err(broken(self.folder.records(size), None, format!("The file is missing. {problem}")))
            }
            Some(last) => Err(broken(self.folder.records(*last), Some(last_line), problem)),
            None => Err(broken(self.folder.records(0), None, format!("The file is missing. {problem}"))),
        }
    }

    fn is_at_limit(&self) -> bool {
        self.limit.is_some_and(|limit| self.tree.size() >= limit)
    }

    /// The hash that was written for a record; `None` where it is not there.
    fn written_hash(&self, index: u64) -> Option<Hash> {
        self.hashes.as_ref()?.root(0, index).ok()
    }

    /// The source of the known tree of this size, where it is another one.
    fn differs_from_known(&self) -> Option<String> {
        let (root, source) = self.known.roots.get(&self.tree.size())?;
        (*root != self.tree.head().root).then(|| source.clone())
    }
}

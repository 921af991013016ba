//! The log of a running server: what writes it, and its thread.
//!
//! Records wait in a queue with turns for each principal. A task that waits for its record, or the thread, takes a group of them,
//! writes it with one write, and tells the callers. At most [`SYNC`] later the thread syncs what is written; nothing is written
//! meanwhile. So a crash of the machine loses the records of at most that time. The thread also looks after the files: they end when
//! they are large or old, they go when their retention is over, and it is noticed when something else changes them. Files that are
//! not written to any more are read again by another thread.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use super::folder::{Folder, Hashes};
use super::log::{Log, LogError, Seen};
use super::note::LogKey;
use super::query::{self, Order, Page, Query};
use super::tree::{self, Hash, TreeHead};
use super::verify::{Breach, Expected, VerifyError, verify};
use crate::audit::{LOG_BEGUN, LOG_RESUMED, Line, RecordLog, UNSIGNED_RECORDS, Unwritable};
use crate::config::AuditSettings;
use crate::crypto;
use crate::domain::now;
use crate::telemetry::{Next, Outlet, Receipts, Sink, Written, lower_priority};

/// How long a caller waits until its record is written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a record is written before it is synced, at most.
const SYNC: Duration = Duration::from_millis(100);
/// How often the thread looks after the files.
const TEND: Duration = Duration::from_secs(1);
/// After how many of those times the newest checkpoint is written.
const CHECKPOINT: u64 = 5;
/// After how many of them files whose retention is over are removed.
const RETENTION: u64 = 60;
/// How often all files are read again.
const REREAD: Duration = Duration::from_secs(24 * 60 * 60);
/// The same while the log is not as it was written. Each time, the server says so.
const REREAD_BROKEN: Duration = Duration::from_secs(60);

/// The log of a running server. Its thread ends when this is dropped.
pub struct AuditLog {
    shared: Arc<Shared>,
    outlet: Arc<Outlet<Writer>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    folder: Folder,
    key: Arc<LogKey>,
    /// How many records are written.
    written: AtomicU64,
    /// The tree that survives a crash.
    synced: watch::Sender<TreeHead>,
    state: Mutex<State>,
    /// Whether this process has begun the log.
    begun: bool,
    /// The records that no checkpoint vouched for when the log was opened.
    unsigned: Range<u64>,
    /// Whether checkpoints are signed. They are not before the store has been asked about the log.
    signs: AtomicBool,
    /// Whether all files are being read again.
    rereading: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Why records cannot be written now.
    failing: Option<String>,
    /// The first place where files that are not written to any more are not as they were written.
    breach: Option<String>,
    verified_at: Option<Instant>,
}

/// The state of the log.
#[derive(Debug, Clone)]
pub struct LogState {
    /// The log's name.
    pub origin: String,
    /// The tree that survives a crash.
    pub head: TreeHead,
    /// Why records cannot be written now.
    pub failing: Option<String>,
    /// The first place where a file is not as it was written.
    pub breach: Option<String>,
}

/// What is measured of the log.
#[derive(Debug, Clone, Copy)]
pub struct LogMetrics {
    /// How many records are written.
    pub written: u64,
    /// How many of them survive a crash.
    pub durable: u64,
    /// How many records wait to be written.
    pub waiting: usize,
    /// How many bytes those take.
    pub waiting_bytes: usize,
    /// Whether records can be written.
    pub is_writable: bool,
    /// Whether no file was found that is not as it was written.
    pub is_whole: bool,
}

impl AuditLog {
    /// What is measured of the log.
    pub fn metrics(&self) -> LogMetrics {
        let (waiting, waiting_bytes) = self.outlet.queue().records();
        let state = lock(&self.shared.state);
        LogMetrics {
            written: self.written(),
            durable: self.shared.synced.borrow().size,
            waiting,
            waiting_bytes,
            is_writable: state.failing.is_none(),
            is_whole: state.breach.is_none(),
        }
    }

    /// Opens the log in a folder. Where there is none, begins one. `broken` is what was found in an earlier log whose place this
    /// one takes. A log that is not new signs nothing before [`Self::begin_signing`].
    pub fn open(path: &Path, settings: AuditSettings, broken: Option<&str>) -> Result<Self, LogError> {
        let mut log = Log::open(path.to_owned(), settings)?;
        let is_new = log.is_begun() || log.size() == 0;
        if is_new {
            let detail = broken.map(|broken| format!("The earlier log is broken: {broken}").into());
            log.append(&Line { detail, ..Line::event(LOG_BEGUN, now()) }.to_text())?;
            log.sync()?;
            log.write_checkpoint()?;
        }
        let shared = Arc::new(Shared {
            folder: Folder::new(path.to_owned()),
            key: log.key().clone(),
            written: AtomicU64::new(log.size()),
            synced: watch::Sender::new(log.synced()),
            state: Mutex::default(),
            begun: log.is_begun(),
            unsigned: log.unsigned(),
            signs: AtomicBool::new(is_new),
            rereading: AtomicBool::new(false),
        });
        let seen = log.sealed()?.into_iter().map(|(path, seen)| (path, Some(seen))).collect();
        let writer = Writer {
            shared: shared.clone(),
            log,
            sync_at: None,
            tend_at: Instant::now() + TEND,
            tended: 0,
            tend_failure: None,
            seen,
        };
        let outlet = Arc::new(Outlet::new(writer));
        let of_thread = outlet.clone();
        let thread = std::thread::Builder::new().name("audit-log".into()).spawn(move || run(&of_thread));
        let thread = thread.map_err(|error| LogError::File(path.to_owned(), error))?;
        Ok(Self { shared, outlet, thread: Mutex::new(Some(thread)) })
    }

    /// Moves a broken log away, so that a new one can begin in its place. Returns where it is now.
    pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
        let mut number = 1_u32;
        loop {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            let aside = PathBuf::from(name);
            if !aside.try_exists()? {
                return std::fs::rename(path, &aside).map(|()| aside);
            }
            number += 1;
        }
    }

    /// The id of the log: the hexadecimal digits of its name.
    pub fn id(&self) -> [u8; 8] {
        self.shared.key.id()
    }

    /// Whether this process has begun the log.
    pub fn is_begun(&self) -> bool {
        self.shared.begun
    }

    /// Fails unless the log has had this tree. `source` is what knows the tree.
    pub fn refuse_older_than(&self, head: &TreeHead, source: &str) -> Result<(), LogError> {
        let (size, path) = (self.written(), self.shared.folder.path());
        let failed =
            |problem| LogError::Broken(Box::new(Breach { file: path.to_owned(), line: None, problem }));
        if head.size > size {
            return Err(failed(format!(
                "The log ends after {size} records, but {source} knows {}: it was cut, or an older copy was put back.",
                head.size
            )));
        }
        let hashes = Hashes::open(&self.shared.folder, false);
        let root = hashes.and_then(|hashes| tree::root_at(&hashes, head.size));
        if root.map_err(|error| LogError::File(path.to_owned(), error))? != head.root {
            return Err(failed(format!(
                "{source} knows another tree of {} records: the log was written again.",
                head.size
            )));
        }
        Ok(())
    }

    /// Begins to sign checkpoints, once the store has found no fault with the log. Before that, this records which records no
    /// checkpoint vouches for. A server that was killed leaves such records, those of its last seconds; one that was stopped leaves
    /// none. Without this, somebody who adds records to the file of a server that does not run would have them signed.
    pub async fn begin_signing(&self) -> Result<(), Unwritable> {
        if self.shared.signs.load(Ordering::Acquire) {
            return Ok(());
        }
        let Range { start: first, end } = self.shared.unsigned;
        if let Some(last) = end.checked_sub(1).filter(|last| *last >= first) {
            tracing::warn!(first, last, "the audit log has records that no checkpoint vouches for");
            let detail = format!(
                "The server found the records {first} to {last} behind the newest checkpoint. They were written before it was \
                 killed, or by something else."
            );
            let line = Line { detail: Some(detail.into()), ..Line::event(UNSIGNED_RECORDS, now()) };
            self.write(line.to_text()).await?;
            // It can be read before the first request is answered.
            let (mut synced, written) = (self.synced(), self.written());
            let synced = tokio::time::timeout(WRITE_TIMEOUT, synced.wait_for(|head| head.size >= written));
            if !matches!(synced.await, Ok(Ok(_))) {
                return Err(Unwritable);
            }
        }
        self.shared.signs.store(true, Ordering::Release);
        Ok(())
    }

    /// Ends the log: what is written becomes durable, and the newest checkpoint is written. This waits for the disk.
    pub fn close(&self) {
        self.outlet.queue().close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = thread.map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) {
            tracing::error!("the thread of the audit log has panicked");
        }
    }

    /// The number of records that are written.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Acquire)
    }

    /// The tree that survives a crash, as it grows.
    pub fn synced(&self) -> watch::Receiver<TreeHead> {
        self.shared.synced.subscribe()
    }

    /// The state of the log.
    pub fn state(&self) -> LogState {
        let state = lock(&self.shared.state);
        LogState {
            origin: self.shared.key.verifier().name().to_owned(),
            head: *self.shared.synced.borrow(),
            failing: state.failing.clone(),
            breach: state.breach.clone(),
        }
    }

    /// The signed checkpoint of the tree that survives a crash, and the key that verifies it.
    pub fn checkpoint(&self) -> Result<(TreeHead, String, String), crypto::Error> {
        let head = *self.shared.synced.borrow();
        Ok((head, self.shared.key.sign(&head)?, self.shared.key.verifier().to_string()))
    }

    /// Reads up to `limit` records. This reads files, and can take its time.
    pub fn read(&self, query: &Query, order: Order, limit: usize) -> io::Result<Page> {
        let size = self.shared.synced.borrow().size;
        query::read(&self.shared.folder, size, query, order, limit)
    }

    /// The number of the first record that is still in a file.
    pub fn first(&self) -> io::Result<u64> {
        Ok(self.shared.folder.list()?.records.first().copied().unwrap_or_default())
    }

    /// The hash of a record, and the proof that it is in the tree of the first `size` records. `index` is less than `size`, and
    /// that is at most the size of the tree.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> io::Result<(Hash, Vec<Hash>)> {
        let hashes = Hashes::open(&self.shared.folder, false)?;
        Ok((hashes.leaf(index)?, tree::inclusion_proof(&hashes, index, size)?))
    }

    /// The proof that the tree of the first `size` records begins with that of the first `older` ones.
    pub fn consistency_proof(&self, older: u64, size: u64) -> io::Result<Vec<Hash>> {
        tree::consistency_proof(&Hashes::open(&self.shared.folder, false)?, older, size)
    }
}

#[async_trait]
impl RecordLog for AuditLog {
    fn add(&self, owner: &str, line: Vec<u8>) -> Result<oneshot::Receiver<bool>, Unwritable> {
        self.outlet.queue().add_record(owner, line).ok_or(Unwritable)
    }

    fn write_waiting(&self) -> Receipts {
        self.outlet.write_waiting()
    }

    fn wake(&self) {
        self.outlet.queue().wake_writer();
    }

    fn offer(&self, line: Vec<u8>) -> bool {
        self.outlet.queue().add_lines(line)
    }

    async fn check(&self) -> Result<(), Unwritable> {
        let failing = lock(&self.shared.state).failing.is_some();
        let line = if failing { Line::event(LOG_RESUMED, now()).to_text() } else { Vec::new() };
        self.write(line).await
    }
}

impl AuditLog {
    /// Waits until a record of the log's own is written.
    pub async fn write(&self, line: Vec<u8>) -> Result<(), Unwritable> {
        let written = self.add("", line)?;
        self.wake();
        match tokio::time::timeout(WRITE_TIMEOUT, written).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(Unwritable),
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.outlet.queue().close();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread.
fn run(outlet: &Outlet<Writer>) {
    lower_priority();
    outlet.sink().reread();
    loop {
        let until = outlet.sink().next_turn();
        let next = outlet.queue().next_batch_within(until.saturating_duration_since(Instant::now()));
        let mut writer = outlet.sink();
        match next {
            Next::Batch(batch) => {
                let written = writer.write(&batch.text).is_whole;
                for record in batch.records {
                    let _ = record.send(written); // the caller may have stopped waiting
                }
            }
            Next::Nothing => {}
            Next::Closed => return writer.end(),
        }
        writer.look_after();
    }
}

/// What writes the log.
struct Writer {
    shared: Arc<Shared>,
    log: Log,
    /// When what is written is to be synced.
    sync_at: Option<Instant>,
    tend_at: Instant,
    tended: u64,
    /// Why the files could not be looked after the last time. Records may still be written.
    tend_failure: Option<String>,
    /// The files that are not written to any more, as they were last; `None`: the file was missing.
    seen: HashMap<PathBuf, Option<Seen>>,
}

impl Sink for Writer {
    /// Files have no reader. What has to be mended, synced or read again before the next record can take its time.
    fn room(&self) -> usize {
        if self.log.is_sound() { usize::MAX } else { 0 }
    }

    fn write(&mut self, text: &[u8]) -> Written {
        let written = self.log.append(text);
        self.note(&written);
        self.shared.written.store(self.log.size(), Ordering::Release);
        let is_due = self.log.is_unsynced() && self.sync_at.is_none();
        if is_due {
            self.sync_at = Some(Instant::now() + SYNC);
        }
        Written { is_whole: written.is_ok(), is_due }
    }
}

impl Writer {
    /// When the thread has something to do, though no record comes.
    fn next_turn(&self) -> Instant {
        self.sync_at.map_or(self.tend_at, |at| at.min(self.tend_at))
    }

    /// Does what is due.
    fn look_after(&mut self) {
        if self.sync_at.is_some_and(|at| at <= Instant::now()) {
            self.sync();
        }
        if self.tend_at <= Instant::now() {
            self.tend();
            self.tend_at = Instant::now() + TEND;
        }
    }

    /// Ends the log.
    fn end(&mut self) {
        self.sync();
        if self.shared.signs.load(Ordering::Acquire) {
            let written = self.log.write_checkpoint();
            self.note(&written);
        }
    }

    fn sync(&mut self) {
        let synced = self.log.sync();
        self.note(&synced);
        self.sync_at = match synced {
            Ok(()) => None,
            Err(_) => Some(Instant::now() + TEND),
        };
        self.publish();
    }

    fn publish(&self) {
        let head = self.log.synced();
        self.shared.synced.send_if_modified(|published| {
            let moved = *published != head;
            *published = head;
            moved
        });
    }

    /// Looks after the files.
    fn tend(&mut self) {
        self.tended += 1;
        let altered = self.log.refuse_altered();
        self.note(&altered);
        if altered.is_err() || !self.shared.signs.load(Ordering::Acquire) {
            return;
        }
        let mut tended = self.log.rotate_if_due();
        if tended.is_ok() && self.tended.is_multiple_of(CHECKPOINT) {
            tended = self.log.write_checkpoint();
        }
        if tended.is_ok() && self.tended.is_multiple_of(RETENTION) {
            tended = self.log.remove_expired().map(|removed| {
                for path in removed {
                    tracing::info!(file = %path.display(), "a file of the audit log was removed: its retention is over");
                    self.seen.remove(&path);
                }
            });
        }
        if !self.log.is_unsynced() {
            self.sync_at = None;
        }
        self.publish();
        let failure = tended.err().map(|error| error.to_string());
        if failure.is_some() && failure != self.tend_failure {
            tracing::warn!(failure, "the files of the audit log cannot be looked after; this is tried again");
        }
        self.tend_failure = failure;
        self.look_at_sealed();
    }

    /// Reads all files again where one was touched, or where it is time.
    fn look_at_sealed(&mut self) {
        let Ok(sealed) = self.log.sealed() else { return };
        let now: HashMap<_, _> = sealed.into_iter().map(|(path, seen)| (path, Some(seen))).collect();
        let mut touched = false;
        for (path, seen) in &mut self.seen {
            let there = now.get(path).copied().flatten();
            touched |= *seen != there;
            *seen = there;
        }
        for (path, seen) in now {
            self.seen.entry(path).or_insert(seen);
        }
        let due = {
            let state = lock(&self.shared.state);
            let every = if state.breach.is_some() { REREAD_BROKEN } else { REREAD };
            state.verified_at.is_some_and(|at| at.elapsed() >= every)
        };
        if touched || due {
            self.reread();
        }
    }

    /// Reads all files again, in another thread, unless one does so already.
    fn reread(&self) {
        if self.shared.rereading.swap(true, Ordering::AcqRel) {
            return;
        }
        let (shared, head) = (self.shared.clone(), self.log.synced());
        let started = std::thread::Builder::new().name("audit-verify".into()).spawn(move || {
            shared.verify(head);
            shared.rereading.store(false, Ordering::Release);
        });
        if started.is_err() {
            self.shared.rereading.store(false, Ordering::Release);
        }
    }

    /// Notes whether the log can be written.
    fn note<T>(&self, outcome: &Result<T, LogError>) {
        let mut state = lock(&self.shared.state);
        let failing = outcome.as_ref().err().map(ToString::to_string);
        if state.failing == failing {
            return;
        }
        match &failing {
            Some(why) => tracing::error!(
                "the audit log cannot be written, so requests are refused: {why}. They are served again once it can be written. Where \
                 a file was removed or altered, put it back as it was, or start once with --begin-new-audit-log"
            ),
            None => tracing::warn!("the audit log can be written again"),
        }
        state.failing = failing;
    }
}

impl Shared {
    /// Reads all files again, and notes what is found.
    fn verify(&self, head: TreeHead) {
        let expected =
            Expected { key: Some(self.key.verifier().clone()), checkpoint: None, head: Some(head) };
        let breach = match verify(self.folder.path(), &expected) {
            Ok(_) => None,
            Err(VerifyError::Broken(breach)) => Some(breach.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let mut state = lock(&self.state);
        match (&state.breach, &breach) {
            (_, Some(breach)) => tracing::error!(
                "the audit log is not as it was written: {breach} Its other records are still vouched for, and new ones are written. \
                 Put the file back as it was, or start once with --begin-new-audit-log"
            ),
            (Some(_), None) => tracing::warn!("the audit log is as it was written again"),
            (None, None) => {}
        }
        state.breach = breach;
        state.verified_at = Some(Instant::now());
    }
}

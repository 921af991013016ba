//! The outbox: a change and its audit record are one commit.
//!
//! The record of a request is written to the audit log when the request is answered. A crash can come between the commit and that. So
//! each commit that a caller asks for also puts the record of the request into the store. Once the record of the answer is in the
//! log, and survives a crash there, the copy in the store is not needed any more: the copy of a later request takes its place, or it is
//! removed soon after. After a crash, the next start moves the copies that are left to the log. Each server has an outbox of its own,
//! under the id of its log.
//!
//! A copy names the tree that the log had before. So it is known from which record on the log can have the record already, and a record
//! is not written twice. The trees in the copies, and the anchor beside them, also tell the log from an older copy of its files.

mod places;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use self::places::{FreePlace, Place, Places};
use super::Error;
use super::commit::Core;
use crate::audit::Line;
use crate::crypto::{FieldReader, Purpose};
use crate::integrity::StoredKeyring;
use crate::integrity::audit_log::{AuditLog, LogError, Order, Query, TreeHead};
use crate::schema::Kind;
use crate::store::{Entry, Key, MAX_OPERATIONS, Pages, Transaction, UnavailableCause};
use crate::telemetry::traces::Step;

/// How many copies are removed at once, at most.
const AT_ONCE: usize = MAX_OPERATIONS - 10;
/// After which time a request is not going to write its record any more.
const ABANDONED: Duration = Duration::from_secs(60);
/// How often the anchor is written, where nothing else is to be written.
const ANCHOR: Duration = Duration::from_secs(60);
/// How long the end of the service waits for the log.
const CLOSE: Duration = Duration::from_secs(1);
/// How many records of the log are read at once.
const PAGE: usize = 1000;

/// The record of a request that is under way.
pub trait RequestRecord: Send + Sync {
    /// The id of the request, which no other request has.
    fn id(&self) -> [u8; 16];

    /// The line of the request's record, for the case that it succeeds.
    fn line(&self) -> Vec<u8>;

    /// Begins a step of the request, which its trace tells; `None`: it is not traced.
    fn step(&self, _name: &'static str) -> Option<Step> {
        None
    }
}

tokio::task_local! {
    /// Kept beside the request like its deadline: only the commit looks at it.
    static RECORD: Arc<dyn RequestRecord>;
}

/// Does the work of a request. Each change that it commits has a copy of this record beside it.
pub async fn recorded<F: Future>(record: Arc<dyn RequestRecord>, work: F) -> F::Output {
    RECORD.scope(record, work).await
}

/// Begins a step of the present request; `None`: there is no request, or it is not traced.
pub(super) fn step(name: &'static str) -> Option<Step> {
    RECORD.try_with(|record| record.step(name)).ok().flatten()
}

/// The outbox of this server.
pub(super) struct Outbox {
    log: Arc<AuditLog>,
    /// The id of the log.
    id: [u8; 8],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    places: Places,
    /// The size of the log in the newest anchor, and when that was put.
    anchored: Option<(u64, Instant)>,
}

impl Outbox {
    pub(super) fn new(log: Arc<AuditLog>) -> Self {
        Self { id: log.id(), log, state: Mutex::default() }
    }

    /// Adds a copy of the present request's record to a transaction, where there is a request.
    pub(super) fn put(
        &self,
        transaction: &mut Transaction,
        keyring: &StoredKeyring,
    ) -> Result<Option<[u8; 16]>, Error> {
        let Ok(record) = RECORD.try_with(Arc::clone) else { return Ok(None) };
        self.put_copy(&*record, transaction, keyring).map(Some)
    }

    /// Adds a copy of this record to a transaction.
    pub(super) fn put_copy(
        &self,
        record: &dyn RequestRecord,
        transaction: &mut Transaction,
        keyring: &StoredKeyring,
    ) -> Result<[u8; 16], Error> {
        let id = record.id();
        let head = *self.log.synced().borrow();
        let clear = [&encode(&head), record.line().as_slice()].concat();
        let place = self.lock().places.of(id, head.size);
        let sealed = keyring.seal_for_audit(Purpose::AuditRecord, &[&self.id, &place], &clear);
        let sealed = sealed.inspect_err(|_| self.not_made(id))?;
        transaction.put.push((Key::audit_record(&self.id, &place), sealed));
        Ok(id)
    }

    /// Notes that a commit with a copy was not made.
    pub(super) fn not_made(&self, id: [u8; 16]) {
        self.lock().places.not_made(&id);
    }

    /// Notes that the record of a request that succeeded is in the log.
    pub(super) fn written(&self, id: [u8; 16]) {
        let size = self.log.written();
        self.lock().places.written(&id, size);
    }

    /// Takes copies to remove.
    fn take(&self) -> Removal<'_> {
        let synced = self.log.synced().borrow().size;
        Removal { outbox: self, taken: self.lock().places.take(AT_ONCE, synced) }
    }

    /// Fails where the store knows a tree that the log does not have. Otherwise the log begins to sign checkpoints, and the copies
    /// that a crash has left are moved to the log.
    pub(super) async fn open(&self, core: &Core, accept: bool) -> Result<(), OpenError> {
        let keyring = core.keyring();
        let stored = core.store.get(&Key::audit_anchor(&self.id)).await?;
        match &stored {
            Some(stored) => {
                let clear = keyring.open_for_audit(Purpose::AuditAnchor, &[&self.id], &stored.value)?;
                let (head, _) = decode(&clear).ok_or(Error::Integrity)?;
                self.log.refuse_older_than(&head, "the store")?;
            }
            None => self.refuse_other_log(core, accept).await?,
        }
        let copies = self.copies(core).await?;
        copies.iter().try_for_each(|copy| self.log.refuse_older_than(&copy.head, "the store"))?;
        self.log.begin_signing().await?;
        let moved = self.move_to_log(copies, |places, copy, size| places.left(copy.place, size)).await?;
        if moved > 0 {
            tracing::warn!(
                moved,
                "changes that a crash had left without a record in the audit log have one now"
            );
        }
        if stored.is_none() {
            match self.put_anchor(core).await {
                // Then no change is made, and the anchor is put once there is room.
                Err(Error::Unavailable(why)) if why.cause() == UnavailableCause::Full => {
                    tracing::warn!(cause = %why, "the anchor of the audit log is not in the store yet");
                }
                put => put?,
            }
        }
        Ok(())
    }

    /// Fails where the store belongs to this server alone, and knows another audit log: that one has vanished.
    async fn refuse_other_log(&self, core: &Core, accept: bool) -> Result<(), OpenError> {
        if core.store.engine() == "etcd" {
            return Ok(()); // the logs of other servers
        }
        let mut others = core.store.scan(&Key::audit_anchors(), None, AT_ONCE).await?;
        if others.is_empty() {
            return Ok(());
        }
        if !accept {
            return Err(OpenError::Vanished);
        }
        let delete = others.drain(..).map(|(key, _)| key).collect();
        let transaction = Transaction { delete, ..Transaction::default() };
        core.commit(&core.keyring(), transaction).await?;
        Ok(())
    }

    /// The copies that are in the store.
    async fn copies(&self, core: &Core) -> Result<Vec<Copy>, OpenError> {
        let mut pages = Pages::new(&*core.store, Key::audit_records(&self.id), PAGE);
        let mut copies = Vec::new();
        while let Some(page) = pages.next().await? {
            for (key, entry) in page {
                if let Kind::AuditRecord(_, place) = key.kind() {
                    copies.push(Copy::open(&core.keyring(), &self.id, place, &entry.value)?);
                }
            }
        }
        Ok(copies)
    }

    /// Writes those of the copies to the log that are not there, and tells `free` of each that is not needed then, with the size of the
    /// log. Returns how many were written.
    async fn move_to_log(
        &self,
        mut copies: Vec<Copy>,
        free: impl Fn(&mut Places, &Copy, u64),
    ) -> Result<usize, OpenError> {
        let Some(oldest) = copies.iter().map(|copy| copy.head.size).min() else { return Ok(0) };
        copies.iter().try_for_each(|copy| self.log.refuse_older_than(&copy.head, "the store"))?;
        copies.sort_by_key(|copy| copy.id); // in the order of time, which ids begin with
        let mut there = self.succeeded_since(oldest).await?;
        let mut moved = 0;
        for copy in copies {
            if there.insert(copy.id) {
                self.log.write(copy.line.clone()).await.map_err(Error::from)?;
                moved += 1;
            }
            let size = self.log.written();
            free(&mut self.lock().places, &copy, size);
        }
        Ok(moved)
    }

    /// The requests that succeeded according to the log, from a record on.
    async fn succeeded_since(&self, from: u64) -> Result<HashSet<[u8; 16]>, Error> {
        // Only what survives a crash is read, and what was just written may not be among it.
        let written = self.log.written();
        let _ = self.log.synced().wait_for(|head| head.size >= written).await; // the log lives as long as this
        let (mut found, mut from) = (HashSet::new(), from);
        loop {
            let log = self.log.clone();
            let query = Query { outcome: Some("ok".to_owned()), ..Query::default() };
            let page =
                tokio::task::spawn_blocking(move || log.read(&query, Order::OldestFirst(from), PAGE)).await;
            let page = page.map_err(|_| Error::Internal("reading the audit log panicked"))?;
            let page = page.map_err(|_| Error::AuditUnavailable)?;
            for record in &page.records {
                found.extend(request_of(&record.line));
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(found),
            }
        }
    }

    /// Removes copies whose records are in the log, moves those of requests that have ended without a record, and keeps the anchor
    /// close behind the log.
    pub(super) async fn tend(&self, core: &Core) -> Result<(), Error> {
        let abandoned = self.lock().places.waiting_for(ABANDONED);
        if !abandoned.is_empty() {
            // Behind it, no earlier transaction can be made in a store of this server.
            core.commit(&core.keyring(), Transaction::default()).await?;
        }
        let mut copies = Vec::new();
        for abandoned in &abandoned {
            let place = abandoned.place;
            let entry = core.store.get(&Key::audit_record(&self.id, &place)).await?;
            let open = |entry: Entry| Copy::open(&core.keyring(), &self.id, place, &entry.value);
            match entry.map(open).transpose()?.filter(|copy| copy.id == abandoned.id) {
                Some(copy) => copies.push(copy),
                None => self.lock().places.forget_abandoned(abandoned),
            }
        }
        let free = |places: &mut Places, copy: &Copy, size| {
            let of_copy = abandoned.iter().find(|abandoned| abandoned.id == copy.id);
            of_copy.into_iter().for_each(|abandoned| places.moved(abandoned, size));
        };
        match self.move_to_log(copies, free).await {
            Ok(_) => {}
            Err(OpenError::Failed(error)) => return Err(error),
            Err(OpenError::Log(_) | OpenError::Vanished) => return Err(Error::AuditUnavailable),
        }
        let (left, due) = {
            let state = self.lock();
            let size = self.log.synced().borrow().size;
            let moved_on = |(anchored, at): (u64, Instant)| anchored < size && at.elapsed() >= ANCHOR;
            (state.places.any_free(), state.anchored.is_none_or(moved_on))
        };
        if left || due { self.put_anchor(core).await } else { Ok(()) }
    }

    /// Removes the copies and puts the anchor a last time, once everything that was written survives a crash, or after a second.
    pub(super) async fn close(&self, core: &Core) -> Result<(), Error> {
        let (mut synced, written) = (self.log.synced(), self.log.written());
        let _ = tokio::time::timeout(CLOSE, synced.wait_for(|head| head.size >= written)).await;
        let size = self.log.synced().borrow().size;
        let as_it_was = self.lock().anchored.is_some_and(|(anchored, _)| anchored == size);
        if as_it_was { Ok(()) } else { self.put_anchor(core).await }
    }

    /// Puts the anchor, and removes copies in the same commit.
    async fn put_anchor(&self, core: &Core) -> Result<(), Error> {
        let keyring = core.keyring();
        let head = *self.log.synced().borrow();
        let removal = self.take();
        let sealed = keyring.seal_for_audit(Purpose::AuditAnchor, &[&self.id], &encode(&head))?;
        let mut transaction = Transaction::default();
        transaction.put.push((Key::audit_anchor(&self.id), sealed));
        transaction.delete.extend(removal.keys());
        if core.commit(&keyring, transaction).await?.is_some() {
            removal.done();
            self.lock().anchored = Some((head.size, Instant::now()));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy in the clear.
struct Copy {
    place: Place,
    /// The id of the request.
    id: [u8; 16],
    /// A tree that the log had before it could have the record.
    head: TreeHead,
    line: Vec<u8>,
}

impl Copy {
    fn open(keyring: &StoredKeyring, log: &[u8; 8], place: Place, sealed: &[u8]) -> Result<Self, Error> {
        let clear = keyring.open_for_audit(Purpose::AuditRecord, &[log, &place], sealed)?;
        let (head, line) = decode(&clear).ok_or(Error::Integrity)?;
        let id = request_of(line).ok_or(Error::Integrity)?;
        Ok(Self { place, id, head, line: line.to_vec() })
    }
}

/// Copies that a transaction removes. They are given back unless the transaction was made.
struct Removal<'a> {
    outbox: &'a Outbox,
    taken: Vec<FreePlace>,
}

impl Removal<'_> {
    /// The keys of the copies.
    fn keys(&self) -> impl Iterator<Item = Key> {
        self.taken.iter().map(|(place, _)| Key::audit_record(&self.outbox.id, place))
    }

    /// The transaction was made.
    fn done(mut self) {
        self.taken.clear();
    }
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        self.outbox.lock().places.give_back(std::mem::take(&mut self.taken));
    }
}

/// Why the outbox cannot be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The log is not the one that the store knows.
    Log(LogError),
    /// The store knows an audit log that is not there any more.
    Vanished,
    /// Something failed.
    Failed(Error),
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl<E: Into<Error>> From<E> for OpenError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The id of the request that a line of the log is about.
fn request_of(line: &[u8]) -> Option<[u8; 16]> {
    Some(Uuid::try_parse(&Line::parse(line)?.request_id?).ok()?.into_bytes())
}

/// A tree in the clear: its size (8 bytes, big-endian) and its root (32).
fn encode(head: &TreeHead) -> Vec<u8> {
    [head.size.to_be_bytes().as_slice(), &head.root].concat()
}

fn decode(clear: &[u8]) -> Option<(TreeHead, &[u8])> {
    let mut parts = FieldReader(clear);
    let (size, root) = (parts.count().ok()?, *parts.take().ok()?);
    Some((TreeHead { size, root }, parts.0))
}

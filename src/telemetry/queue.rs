//! The texts that wait to be written to the log: ordinary lines, and audit records.
//!
//! Records have room of their own and are taken first, so that no number of lines keeps a record from being written. Each
//! owner of records has a bounded share of the room, and always room for one record, so that no owner keeps the records of
//! others from being written. Owners share the writer by bytes, not by records (self-clocked fair queueing). A line that finds
//! no room is lost, and counted.
//!
//! The audit log has such a queue too: there, lines are the records that may be dropped. See [`Outlet`](super::Outlet) for who writes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// How many bytes of lines may wait.
pub(super) const LINE_ROOM: usize = 4 << 20;
/// How many bytes of records may wait.
const RECORD_ROOM: usize = 16 << 20;
/// How many bytes of the records of one owner may wait. The largest record names 1,000 secrets, and has 140 KB.
const RECORD_SHARE: usize = 4 << 20;
/// About how many bytes of records are written at once.
const BATCH_RECORDS: usize = 64 << 10;
/// About how many bytes of lines are written at once: few, since a record waits for them where the log is read slowly.
const BATCH_LINES: usize = 4 << 10;

/// The queue between all threads that log and what writes.
#[derive(Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    /// Wakes the thread that writes.
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    records: Records,
    lines: VecDeque<Vec<u8>>,
    line_bytes: usize,
    /// How many lines were lost since the last time that their number was taken.
    lost: u64,
    /// Told once nothing waits any more.
    flushes: Vec<oneshot::Sender<()>>,
    closed: bool,
    /// Whether the thread that writes waits and was not woken yet. To wake it is a call of the system.
    sleeps: bool,
    /// Whether it was to be woken while it was awake.
    is_called: bool,
}

/// The records of all owners. Places are in bytes: an owner's record begins where its record before ends, and not before `now`.
/// The record that ends first is taken first.
#[derive(Default)]
struct Records {
    /// By the place of the end, and then in the order of arrival.
    waiting: BTreeMap<(u64, u64), Record>,
    /// The owners of records since nothing waited.
    owners: HashMap<Arc<str>, Owner>,
    /// The furthest place at which a record that was taken begins.
    now: u64,
    /// How many records have arrived.
    arrived: u64,
    bytes: usize,
}

#[derive(Default)]
struct Owner {
    /// How many of its records wait.
    records: usize,
    bytes: usize,
    /// Where its last record ends.
    end: u64,
}

struct Record {
    owner: Arc<str>,
    begin: u64,
    text: Vec<u8>,
    written: oneshot::Sender<bool>,
}

/// Texts to write at once.
#[derive(Default)]
pub struct Batch {
    /// The texts, one after the other.
    pub text: Vec<u8>,
    /// How many lines are among them.
    pub lines: u64,
    /// Told whether the batch was written.
    pub records: Vec<oneshot::Sender<bool>>,
}

/// What [`Queue::next_batch_within`] waited for.
pub enum Next {
    /// Texts to write.
    Batch(Batch),
    /// Perhaps the time has passed. Nothing waits now.
    Nothing,
    /// The queue is closed, and nothing waits any more.
    Closed,
}

impl Queue {
    /// Adds the record of an owner. The receiver is told whether it was written. `None`: there is no room. This wakes nobody.
    pub fn add_record(&self, owner: &str, text: Vec<u8>) -> Option<oneshot::Receiver<bool>> {
        let (written, told) = oneshot::channel();
        self.lock().records.add(owner, text, written).then_some(told)
    }

    /// Whether no record waits, or the queue is closed.
    pub(super) fn is_without_records(&self) -> bool {
        let waiting = self.lock();
        waiting.closed || waiting.records.waiting.is_empty()
    }

    /// Takes the records whose turn it is, of `room` bytes at most. None where the first one does not fit, or the queue is closed.
    pub(super) fn records_now(&self, room: usize) -> Batch {
        let mut waiting = self.lock();
        let mut batch = Batch::default();
        while !waiting.closed
            && let Some(size) = waiting.records.next_size()
            && batch.text.len() + size <= room.min(BATCH_RECORDS)
            && let Some(record) = waiting.records.next()
        {
            batch.add(record);
        }
        batch
    }

    /// Wakes the thread that writes. If it is awake, it does not wait the next time.
    pub fn wake_writer(&self) {
        let mut waiting = self.lock();
        waiting.is_called = !waiting.sleeps;
        self.wake(waiting);
    }

    /// Adds lines. False: there is no room.
    pub fn add_lines(&self, text: Vec<u8>) -> bool {
        let mut waiting = self.lock();
        let fits = text.len() <= LINE_ROOM.saturating_sub(waiting.line_bytes);
        if fits {
            waiting.line_bytes += text.len();
            waiting.lines.push_back(text);
        }
        self.wake(waiting);
        fits
    }

    /// How many records wait, and how many bytes they take.
    pub fn records(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.records.waiting.len(), waiting.records.bytes)
    }

    /// Counts lines that were lost.
    pub(super) fn lose(&self, lines: u64) {
        self.lock().lost += lines;
    }

    /// How many lines were lost since the last call, once half of the lines' room is free; zero before.
    pub(super) fn take_lost(&self) -> u64 {
        let mut waiting = self.lock();
        if waiting.line_bytes > LINE_ROOM / 2 { 0 } else { std::mem::take(&mut waiting.lost) }
    }

    /// Told once everything that waits is written or lost.
    pub(super) fn flushed(&self) -> oneshot::Receiver<()> {
        let (flushed, told) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.flushes.push(flushed);
        self.wake(waiting);
        told
    }

    /// Ends the thread that writes, once nothing waits any more.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        self.wake(waiting);
    }

    /// Waits for the next batch. The caller has written the one before. `None`: the queue is closed.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        loop {
            match self.next_batch_within(Duration::MAX) {
                Next::Batch(batch) => return Some(batch),
                Next::Nothing => {}
                Next::Closed => return None,
            }
        }
    }

    /// Waits for the next batch, for this time at most. The caller has written the one before.
    pub fn next_batch_within(&self, time: Duration) -> Next {
        let mut waiting = self.lock();
        let mut waited = false;
        loop {
            let batch = waiting.batch();
            if !batch.is_empty() {
                return Next::Batch(batch);
            }
            for flushed in waiting.flushes.drain(..) {
                let _ = flushed.send(()); // the caller may have stopped waiting
            }
            if waiting.closed {
                return Next::Closed;
            }
            if waited || std::mem::take(&mut waiting.is_called) {
                return Next::Nothing;
            }
            waiting.sleeps = true;
            waiting = self.arrived.wait_timeout(waiting, time).unwrap_or_else(PoisonError::into_inner).0;
            waiting.sleeps = false;
            waited = true;
        }
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let sleeps = std::mem::take(&mut waiting.sleeps);
        drop(waiting);
        if sleeps {
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Takes the records whose turn it is, and then some lines.
    fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        while batch.text.len() < BATCH_RECORDS
            && let Some(record) = self.records.next()
        {
            batch.add(record);
        }
        let end = batch.text.len() + BATCH_LINES;
        while batch.text.len() < end
            && let Some(line) = self.lines.pop_front()
        {
            self.line_bytes -= line.len();
            batch.text.extend_from_slice(&line);
            batch.lines += 1;
        }
        batch
    }
}

impl Records {
    /// Adds the record of an owner. False: there is no room.
    fn add(&mut self, owner: &str, text: Vec<u8>, written: oneshot::Sender<bool>) -> bool {
        let name: Arc<str> = owner.into();
        let owner = self.owners.entry(name.clone()).or_default();
        let size = text.len();
        let full = owner.bytes + size > RECORD_SHARE || self.bytes + size > RECORD_ROOM;
        // An owner without a record that waits always finds room: there are not many owners.
        if full && owner.records > 0 {
            return false;
        }
        let begin = owner.end.max(self.now);
        owner.end = begin.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        owner.records += 1;
        owner.bytes += size;
        self.bytes += size;
        self.waiting.insert((owner.end, self.arrived), Record { owner: name, begin, text, written });
        self.arrived += 1;
        true
    }

    /// The size of the record whose turn it is.
    fn next_size(&self) -> Option<usize> {
        self.waiting.first_key_value().map(|(_, record)| record.text.len())
    }

    /// Takes the record whose turn it is.
    fn next(&mut self) -> Option<Record> {
        let (_, record) = self.waiting.pop_first()?;
        self.now = self.now.max(record.begin);
        self.bytes -= record.text.len();
        if let Some(owner) = self.owners.get_mut(&record.owner) {
            owner.records -= 1;
            owner.bytes -= record.text.len();
        }
        if self.waiting.is_empty() {
            self.owners.clear();
        }
        Some(record)
    }
}

impl Batch {
    fn add(&mut self, record: Record) {
        if self.text.is_empty() {
            self.text = record.text;
        } else {
            self.text.extend_from_slice(&record.text);
        }
        self.records.push(record.written);
    }

    fn is_empty(&self) -> bool {
        self.lines == 0 && self.records.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(queue: &Queue) -> String {
        String::from_utf8(queue.next_batch().unwrap().text).unwrap()
    }

    #[test]
    fn records_go_before_lines_and_have_room_of_their_own() {
        let queue = Queue::default();
        let line = [b'l'; 1024].to_vec();
        while queue.add_lines(line.clone()) {}
        assert!(queue.add_record("a", b"record\n".to_vec()).is_some(), "the lines took the room of records");
        let batch = text(&queue);
        assert!(batch.starts_with("record\n"));
        assert!(batch.len() <= 7 + BATCH_LINES, "a record would wait for {} bytes of lines", batch.len());
        assert!(queue.add_lines(line), "a batch makes room");
    }

    #[test]
    fn a_thread_that_is_called_while_it_is_awake_does_not_wait() {
        let queue = Queue::default();
        queue.wake_writer();
        assert!(matches!(queue.next_batch_within(Duration::MAX), Next::Nothing));
    }

    #[test]
    fn an_owner_with_one_record_waits_for_one_turn() {
        let queue = Queue::default();
        let large = vec![b'-'; BATCH_RECORDS / 2];
        while queue.add_record("a", large.clone()).is_some() {}
        assert!(queue.add_record("b", b"b\n".to_vec()).is_some(), "an owner took the room of all");
        assert!(text(&queue).contains("b\n"), "an owner with one record waits for all of another's");
    }

    #[test]
    fn owners_share_the_writer_by_bytes() {
        let queue = Queue::default();
        let large = vec![b'-'; 2 * BATCH_RECORDS];
        for owner in ["a", "b", "c"] {
            while queue.add_record(owner, large.clone()).is_some() {}
        }
        let _being_written = queue.next_batch().unwrap();
        for record in 0..BATCH_RECORDS / 1024 {
            let small = [&*record.to_string().into_bytes(), &[b'd'; 1024]].concat();
            assert!(queue.add_record("d", small).is_some());
        }
        let batch = text(&queue);
        assert!(batch.starts_with("0ddd") && !batch.contains('-'), "small records wait for large ones");
    }

    #[test]
    fn the_room_of_all_records_is_bounded_and_each_owner_finds_some() {
        let queue = Queue::default();
        let large = vec![b'-'; RECORD_SHARE / 2];
        let mut added = 0;
        for owner in 0..20 {
            assert!(queue.add_record(&owner.to_string(), large.clone()).is_some());
            added += usize::from(queue.add_record(&owner.to_string(), large.clone()).is_some());
        }
        assert_eq!(added, RECORD_ROOM / RECORD_SHARE);
    }

    #[test]
    fn everything_is_taken_once_and_the_room_is_free_again() {
        let queue = Queue::default();
        for round in 0..3 {
            let mut taken = 0;
            for n in 0..1000 {
                assert!(queue.add_record(&(n % 7).to_string(), vec![b'r'; 100]).is_some(), "{round}");
                assert!(queue.add_lines(vec![b'l'; 100]), "{round}");
            }
            while taken < 200_000 {
                taken += queue.next_batch().unwrap().text.len();
            }
            assert_eq!(taken, 200_000);
        }
        let waiting = queue.lock();
        assert_eq!((waiting.line_bytes, waiting.records.bytes), (0, 0));
        assert!(waiting.records.owners.is_empty() && waiting.records.waiting.is_empty());
    }
}

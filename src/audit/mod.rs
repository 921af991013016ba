//! The audit: one record for every request that is answered, refused ones too. A record never holds a value. The gate writes
//! records before answers leave, except for the refusals of strangers, which are summed: see [`LogAuditor`].
//!
//! Records go to the audit log, which `integrity/audit_log` keeps, and by default to standard error too.

mod access;
mod line;
mod names;
mod record;
mod refusals;
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

pub use self::access::{Access, AccessFields};
pub use self::line::{FILES_REMOVED, LOG_BEGUN, LOG_RESUMED, Line, REFUSALS_DROPPED, UNSIGNED_RECORDS};
pub use self::names::{NameMac, Names, fingerprint, is_fingerprint};
use self::record::joined;
pub use self::record::{Record, Referenced, Target};
pub use self::refusals::SEVERAL;
use self::refusals::{Refusals, Sum};
use self::waiting::WaitingRecord;
use crate::domain::now;
use crate::telemetry::{self, Receipts};

/// How often the refusals of strangers are written.
const REFUSALS: Duration = Duration::from_secs(1);
/// How many records of strangers the audit log takes within [`REFUSALS`], on average: so that strangers cannot fill it.
const REFUSAL_RECORDS: u64 = 10;
/// How many it takes at once after a quiet time.
const MAX_REFUSAL_RECORDS: u64 = 3600;
/// The owner of the auditor's own records among those that wait for the log. No principal has this name.
const AUDITOR: &str = "";

/// The destination of records.
#[async_trait]
pub trait Auditor: Send + Sync {
    /// Writes the record of a request whose caller is known, or fails within a bound. The request is answered only once its
    /// record is written.
    async fn write(&self, record: &Record) -> Result<(), Unwritable>;

    /// How its records show names.
    fn names(&self) -> &Names;

    /// Notes so many refusals of strangers, or of callers at a limit, of which this is one. This waits for nothing, and may be
    /// dropped.
    fn refused(&self, record: Record, many: u64);

    /// Fails while records cannot be written.
    async fn check(&self) -> Result<(), Unwritable>;
}

/// A record could not be written, so the answer must not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct Unwritable;

/// The log that keeps records: lines with JSON, each with its line feed.
#[async_trait]
pub trait RecordLog: Send + Sync {
    /// Adds the record of an owner, which is told whether it was written. Owners share the log fairly. The caller calls
    /// [`Self::write_waiting`] or [`Self::wake`] after that.
    fn add(&self, owner: &str, line: Vec<u8>) -> Result<oneshot::Receiver<bool>, Unwritable>;

    /// Writes the records that wait, in this thread, where that is quick. One task at a time may do so. The caller tells those who
    /// wait.
    fn write_waiting(&self) -> Receipts;

    /// Leaves the records that wait to the log's thread.
    fn wake(&self);

    /// Adds a record that may be dropped. False: it was dropped.
    fn offer(&self, line: Vec<u8>) -> bool;

    /// Fails while records cannot be written.
    async fn check(&self) -> Result<(), Unwritable>;
}

/// Writes records to the audit log, and to the process's log as structured events on a target of their own.
///
/// The records of known callers have room of their own in front of each log. The refusals of strangers are summed per peer and
/// second, and take the room of ordinary lines. Where there is none, they are dropped and counted, and the count is written
/// once there is room again.
pub struct LogAuditor {
    log: Option<Arc<dyn RecordLog>>,
    /// Whether records go to the process's log too.
    events: bool,
    names: Names,
    refusals: Refusals,
    /// How many refusals were dropped and not told so far in the process's log.
    dropped: AtomicU64,
    /// The same for the audit log.
    dropped_records: AtomicU64,
    /// How many records of strangers the audit log still takes.
    refusal_records: AtomicU64,
    /// Whether the last event could not be written.
    failing: AtomicBool,
    /// The turn to write records in a thread that serves requests. Only one does so, since a write can block after all.
    writing: Mutex<()>,
}

impl Default for LogAuditor {
    fn default() -> Self {
        Self::new(None, true, Names::Plain)
    }
}

#[async_trait]
impl Auditor for LogAuditor {
    async fn write(&self, record: &Record) -> Result<(), Unwritable> {
        let mut waiting = self.add(record)?;
        if telemetry::may_write() {
            // They add their records.
            telemetry::after_ready_tasks().await;
            waiting.write_all();
        }
        waiting.written().await
    }

    fn names(&self) -> &Names {
        &self.names
    }

    fn refused(&self, record: Record, many: u64) {
        self.refusals.add(record, many);
    }

    async fn check(&self) -> Result<(), Unwritable> {
        LogAuditor::check(self).await
    }
}

impl LogAuditor {
    /// Writes to this log, and with `events` to the process's log. Names are shown as `names` says.
    pub fn new(log: Option<Arc<dyn RecordLog>>, events: bool, names: Names) -> Self {
        Self {
            log,
            events,
            names,
            refusals: Refusals::default(),
            dropped: AtomicU64::new(0),
            dropped_records: AtomicU64::new(0),
            refusal_records: AtomicU64::new(MAX_REFUSAL_RECORDS),
            failing: AtomicBool::new(false),
            writing: Mutex::default(),
        }
    }

    /// Adds a record to both logs.
    fn add(&self, record: &Record) -> Result<WaitingRecord<'_>, Unwritable> {
        let owner = record.principal.as_deref().unwrap_or(AUDITOR);
        let line = || Line::of(record, &self.names, now()).to_text();
        let logged = self.log.as_ref().map(|log| log.add(owner, line())).transpose();
        let told = if self.events {
            telemetry::add(owner, || emit(record, &self.names)).map_err(|_full| Unwritable)
        } else {
            Ok(None)
        };
        if told.is_err() {
            self.failing.store(true, Ordering::Relaxed);
        }
        let is_full = logged.is_err() || told.is_err();
        let waiting = WaitingRecord::new(self, logged.unwrap_or_default(), told.unwrap_or_default());
        if is_full { Err(Unwritable) } else { Ok(waiting) }
    }

    /// Writes the records that wait, in this thread, where that is quick. Nobody is told before both logs are written: a task that
    /// is told would wait for this thread while the second write blocks it.
    fn write_waiting(&self) {
        let logged = self.log.as_ref().map(|log| log.write_waiting());
        let told = if self.events { telemetry::write_waiting() } else { Receipts::default() };
        logged.unwrap_or_default().tell();
        told.tell();
    }

    /// Leaves the records that wait to the threads of the logs.
    fn wake(&self) {
        if let Some(log) = &self.log {
            log.wake();
        }
        if self.events {
            telemetry::wake();
        }
    }

    /// Writes the refusals of strangers once a second.
    pub async fn write_refusals_regularly(&self) {
        let mut second = tokio::time::interval(REFUSALS);
        loop {
            second.tick().await;
            let more = |left: u64| Some((left + REFUSAL_RECORDS).min(MAX_REFUSAL_RECORDS));
            let _ = self.refusal_records.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more); // always succeeds
            self.write_refusals();
        }
    }

    /// Writes the refusals of strangers since the last time.
    pub fn write_refusals(&self) {
        let sums: Vec<_> = self.refusals.take().collect();
        if self.events {
            self.offer_refusals(&sums, |event| telemetry::offer(event));
        }
        if let Some(log) = &self.log {
            self.log_refusals(&**log, &sums);
        }
    }

    /// Fails while records cannot be written. Then this tries to write one: nobody else may do so, since callers stay away from
    /// a server that is not healthy.
    pub async fn check(&self) -> Result<(), Unwritable> {
        if let Some(log) = &self.log {
            log.check().await?;
        }
        if !self.events {
            return Ok(());
        }
        if self.failing.load(Ordering::Relaxed) {
            return self.written(AUDITOR, emit_resumed).await;
        }
        // Nothing to write; but the log's thread may be waiting for the reader of the log.
        if telemetry::written(AUDITOR, || ()).await {
            return Ok(());
        }
        self.failing.store(true, Ordering::Relaxed);
        Err(Unwritable)
    }

    async fn written(&self, owner: &str, event: impl FnOnce()) -> Result<(), Unwritable> {
        let written = telemetry::written(owner, event).await;
        self.failing.store(!written, Ordering::Relaxed);
        if written { Ok(()) } else { Err(Unwritable) }
    }

    /// Offers the process's log each sum, and the number of those that it did not take.
    fn offer_refusals(&self, sums: &[Sum], offer: impl Fn(&dyn Fn()) -> bool) {
        for sum in sums {
            if !offer(&|| emit_sum(sum, &self.names)) {
                self.dropped.fetch_add(sum.size, Ordering::Relaxed);
            }
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 && !offer(&|| emit_dropped(dropped)) {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    /// The same for the audit log.
    fn log_refusals(&self, log: &dyn RecordLog, sums: &[Sum]) {
        let take_one = |left: u64| left.checked_sub(1);
        for sum in sums {
            let room =
                self.refusal_records.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one).is_ok();
            if !room || !log.offer(Line::of_sum(sum, &self.names, now()).to_text()) {
                self.dropped_records.fetch_add(sum.size, Ordering::Relaxed);
            }
        }
        let dropped = self.dropped_records.swap(0, Ordering::Relaxed);
        let line = || Line { refusals: Some(dropped), ..Line::event(REFUSALS_DROPPED, now()) };
        if dropped > 0 && !log.offer(line().to_text()) {
            self.dropped_records.fetch_add(dropped, Ordering::Relaxed);
        }
    }
}

fn emit(record: &Record, names: &Names) {
    let Record {
        principal,
        peer,
        rpc,
        target,
        referenced,
        outcome,
        reason,
        request_id,
        caller_request_id,
        trace_id,
    } = record;
    let namespace = target.namespace.as_ref().map(|namespace| names.namespace(namespace));
    let name = target.name.as_ref().map(|name| names.secret(name));
    tracing::info!(
        target: telemetry::AUDIT,
        principal = principal.as_deref(),
        peer = peer.map(display),
        rpc = %rpc,
        namespace = namespace.map(display),
        name = name.map(display),
        version = target.version,
        subject = target.subject(names).as_deref(),
        // A text too: a principal can have any characters.
        access = target.access.as_ref().map(|access| access.fields(names).text()).as_deref(),
        read = joined(referenced.read_names(names)).map(display),
        not_read = joined(referenced.not_read_names(names)).map(display),
        not_read_size = referenced.not_read_size(),
        outcome = %outcome,
        reason = *reason,
        request_id = %request_id,
        // A text, and so in quotation marks: it could be made to look like other fields.
        caller_request_id = caller_request_id.as_deref(),
        trace_id = trace_id.as_deref().map(display),
        "audit"
    );
}

/// One refusal has the record of any other request.
fn emit_sum(sum: &Sum, names: &Names) {
    if sum.size == 1 {
        return emit(&sum.first, names);
    }
    tracing::info!(
        target: telemetry::AUDIT,
        principal = sum.first.principal.as_deref(),
        peer = %sum.peer,
        rpc = %sum.rpc,
        subject = sum.first.target.subject(names).as_deref(),
        outcome = %sum.outcome,
        reason = sum.reason(),
        refusals = sum.size,
        reasons = sum.reasons().map(display),
        request_id = %sum.first.request_id,
        last_request_id = %sum.last_request_id,
        "audit"
    );
}

fn emit_resumed() {
    tracing::warn!(target: telemetry::AUDIT, "audit records could not be written for some time before this line");
}

fn emit_dropped(refusals: u64) {
    tracing::warn!(
        target: telemetry::AUDIT,
        refusals,
        "refusals of requests without a valid credential, or at a limit, were not recorded: the log had no room for them"
    );
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tokio::time::{advance, sleep};
    use tracing_subscriber::fmt;

    use super::*;

    fn refusal(peer: &str, id: &str) -> Record {
        Record {
            principal: None,
            peer: Some(peer.parse().unwrap()),
            rpc: "strongroom.v1.SecretService/GetSecret",
            target: Target::default(),
            referenced: Referenced::default(),
            outcome: "UNAUTHENTICATED",
            reason: Some("CREDENTIAL_MISSING"),
            request_id: id.to_owned(),
            caller_request_id: None,
            trace_id: None,
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are logged on this thread.
    fn log() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let to = log.clone();
        let subscriber = fmt().with_writer(move || to.clone()).with_ansi(false).without_time().finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn taken(log: &Log) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
        text.lines().map(|line| line.replacen(" INFO strongroom::audit: audit ", "", 1)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_refusals_of_a_peer_are_one_record_a_second() {
        let (lines, _guard) = log();
        let auditor = Arc::<LogAuditor>::default();
        let writing = auditor.clone();
        let writing = tokio::spawn(async move { writing.write_refusals_regularly().await });
        sleep(Duration::from_millis(500)).await;
        for id in ["1", "2", "3"] {
            auditor.refused(refusal("192.0.2.1:5", id), 1);
            advance(Duration::from_millis(100)).await;
        }
        auditor.refused(refusal("192.0.2.2:5", "4"), 1);
        assert_eq!(taken(&lines), [""; 0], "nothing is written before the second has passed");
        sleep(Duration::from_millis(500)).await;
        let told = [
            "peer=192.0.2.1 rpc=strongroom.v1.SecretService/GetSecret outcome=UNAUTHENTICATED \
             reason=\"CREDENTIAL_MISSING\" refusals=3 request_id=1 last_request_id=3",
            "peer=192.0.2.2:5 rpc=strongroom.v1.SecretService/GetSecret outcome=UNAUTHENTICATED \
             reason=\"CREDENTIAL_MISSING\" request_id=4",
        ];
        assert_eq!(taken(&lines), told);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(taken(&lines), [""; 0], "each refusal is told once");
        writing.abort();
    }

    #[tokio::test]
    async fn refusals_that_find_no_room_are_counted_and_the_count_is_written() {
        let (lines, _guard) = log();
        let auditor = LogAuditor::default();
        for id in ["1", "2", "3"] {
            auditor.refused(refusal("192.0.2.1:5", id), 1);
        }
        auditor.refused(refusal("192.0.2.2:5", "4"), 1);
        let sums: Vec<_> = auditor.refusals.take().collect();
        auditor.offer_refusals(&sums, |_| false);
        auditor.offer_refusals(&[], |_| false);
        assert_eq!(taken(&lines), [""; 0]);
        auditor.write_refusals();
        auditor.write_refusals();
        let told = taken(&lines);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("WARN") && told[0].ends_with("refusals=4"), "{told:?}");
    }

    #[derive(Default)]
    struct Kept(Mutex<Vec<Line<'static>>>);

    #[async_trait]
    impl RecordLog for Kept {
        fn add(&self, _: &str, line: Vec<u8>) -> Result<oneshot::Receiver<bool>, Unwritable> {
            self.offer(line);
            let (written, told) = oneshot::channel();
            let _ = written.send(true);
            Ok(told)
        }

        fn write_waiting(&self) -> Receipts {
            Receipts::default()
        }

        fn wake(&self) {}

        fn offer(&self, line: Vec<u8>) -> bool {
            self.0.lock().unwrap().push(Line::parse(line.trim_ascii_end()).unwrap());
            true
        }

        async fn check(&self) -> Result<(), Unwritable> {
            Ok(())
        }
    }

    /// A log that never writes by itself, and counts those who wake its thread.
    #[derive(Default)]
    struct Asleep(Mutex<(Vec<oneshot::Sender<bool>>, usize)>);

    #[async_trait]
    impl RecordLog for Asleep {
        fn add(&self, _: &str, _: Vec<u8>) -> Result<oneshot::Receiver<bool>, Unwritable> {
            let (written, told) = oneshot::channel();
            self.0.lock().unwrap().0.push(written);
            Ok(told)
        }

        fn write_waiting(&self) -> Receipts {
            self.0.lock().unwrap().0.drain(..).for_each(|written| written.send(true).unwrap());
            Receipts::default()
        }

        fn wake(&self) {
            self.0.lock().unwrap().1 += 1;
        }

        fn offer(&self, _: Vec<u8>) -> bool {
            true
        }

        async fn check(&self) -> Result<(), Unwritable> {
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_record_is_written_by_who_waits_for_it_and_otherwise_the_log_is_woken() {
        let log = Arc::<Asleep>::default();
        let auditor = Arc::new(LogAuditor::new(Some(log.clone()), false, Names::Plain));
        let record = refusal("192.0.2.1:5", "1");
        assert_eq!(auditor.write(&record).await, Ok(()));
        assert_eq!(log.0.lock().unwrap().1, 0);
        let turn = auditor.writing.lock().unwrap();
        auditor.add(&record).unwrap().write_all();
        assert_eq!(log.0.lock().unwrap().1, 1, "another writes, and may have looked already");
        assert_eq!(log.0.lock().unwrap().0.len(), 1);
        drop(turn);
        drop(auditor.add(&record)); // the caller's task is aborted
        assert_eq!(log.0.lock().unwrap().1, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_nobody_writes_is_refused_within_a_bound() {
        let log = Arc::<Asleep>::default();
        let auditor = LogAuditor::new(Some(log.clone()), false, Names::Plain);
        assert_eq!(auditor.write(&refusal("192.0.2.1:5", "1")).await, Err(Unwritable));
        assert_eq!(log.0.lock().unwrap().1, 1, "the only thread of a runtime does not write");
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_do_not_fill_the_log_from_however_many_peers_they_come() {
        let kept = Arc::<Kept>::default();
        let auditor = Arc::new(LogAuditor::new(Some(kept.clone()), false, Names::Plain));
        let writing = auditor.clone();
        let writing = tokio::spawn(async move { writing.write_refusals_regularly().await });
        for second in 0..60_u32 {
            for peer in 0..500_u32 {
                let peer = format!("{}:1", std::net::Ipv4Addr::from(second << 16 | peer));
                auditor.refused(refusal(&peer, "id"), 1);
            }
            sleep(Duration::from_secs(1)).await;
        }
        writing.abort();
        let kept = kept.0.lock().unwrap();
        let most = MAX_REFUSAL_RECORDS + 62 * REFUSAL_RECORDS;
        let (dropped, told): (Vec<_>, Vec<_>) = kept.iter().partition(|line| line.event.is_some());
        assert!(told.len() as u64 <= most && dropped.len() <= 61, "{} and {}", told.len(), dropped.len());
        let counted: u64 = dropped.iter().filter_map(|line| line.refusals).sum();
        assert_eq!(counted + told.len() as u64, 60 * 500, "every refusal is told or counted");
    }

    #[tokio::test]
    async fn text_of_the_caller_looks_like_no_other_field() {
        let (lines, _guard) = log();
        let forged = "x\" principal=\"key:root".to_owned();
        emit(&Record { caller_request_id: Some(forged), ..refusal("192.0.2.1:5", "1") }, &Names::Plain);
        let told = taken(&lines);
        assert!(told[0].ends_with(r#"caller_request_id="x\" principal=\"key:root""#), "{told:?}");
    }
}

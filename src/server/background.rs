//! The work that goes on beside the requests, until the server stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::app::{App, Error, Scheduler, UnreadyCause};
use crate::audit::LogAuditor;
use crate::metrics::Total;
use crate::process;

/// How often the store and the audit are asked whether they can serve.
const HEALTH: Duration = Duration::from_secs(1);
/// How often the anchor is brought up to date.
const ANCHOR: Duration = Duration::from_secs(1);
/// How often copies of audit records are removed from the store, where no commit has done so.
const OUTBOX: Duration = Duration::from_secs(2);
/// How often the keys are checked for a rotation that is due.
const KEYS: Duration = Duration::from_secs(60);
/// How often the uses of secrets and API keys are stored.
const USAGE: Duration = Duration::from_secs(40);
/// How often the oldest changes are looked at, whether they are still to be kept.
const HISTORY: Duration = Duration::from_secs(5);
/// How often idempotency records whose time has passed are removed.
const SWEEP: Duration = Duration::from_secs(60 * 60);

/// How often the servers over one store tell each other that they are there, and how often they look at that.
const HEARTBEAT: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(500);
/// How often memory that was freed is given back to the system.
const MEMORY: Duration = Duration::from_secs(5);
/// How much free memory is worth that, in bytes.
const WORTHWHILE: usize = 2 << 20;

/// How many records were removed because their time had passed.
#[derive(Debug, Default)]
pub(super) struct SweepMetrics {
    events: Total,
    idempotency_records: Total,
}

impl SweepMetrics {
    /// How many of each kind.
    pub(super) fn read(&self) -> [(&'static str, u64); 2] {
        [("events", self.events.read()), ("idempotency_records", self.idempotency_records.read())]
    }
}

/// Starts the work. It ends when the set is dropped or aborted.
pub(super) fn start(app: &Arc<App>, auditor: &Arc<LogAuditor>, sweeps: &Arc<SweepMetrics>) -> JoinSet<()> {
    let mut work = JoinSet::new();
    work.spawn(watch_health(app.clone(), auditor.clone()));
    work.spawn(write_refusals(auditor.clone()));
    work.spawn(sweep_idempotency_records(app.clone(), sweeps.clone()));
    work.spawn(tend_keys(app.clone()));
    work.spawn(keep_anchor(app.clone()));
    work.spawn(tend_outbox(app.clone()));
    work.spawn(store_usage(app.clone()));
    work.spawn(Scheduler::new(app.clone(), auditor.clone()).run());
    work.spawn(sweep_history(app.clone(), sweeps.clone()));
    if app.shares_its_store() {
        work.spawn(exchange_heartbeats(app.clone()));
    }
    work.spawn(give_back_memory());
    work
}

/// The causes that the store and the servers over it have, apart from another history: the app notes that one at the moment from
/// which it refuses requests.
const OF_THE_STORE: [UnreadyCause; 4] =
    [UnreadyCause::Store, UnreadyCause::StoreFull, UnreadyCause::StoreLogin, UnreadyCause::Clock];

/// Notes whether requests are served: without the store or the audit log every request is refused.
async fn watch_health(app: Arc<App>, auditor: Arc<LogAuditor>) {
    let mut check = tokio::time::interval(HEALTH);
    // A log that is not read makes a check take some seconds.
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        check.tick().await;
        let (store, audit) = tokio::join!(app.check(), auditor.check());
        let log = app.audit.state();
        let failed = store.err().map(|error| match error {
            Error::Unavailable(why) => (why.cause().into(), why.0.to_string()),
            _ => (UnreadyCause::Store, String::new()),
        });
        let obstacles = app.obstacles().into_iter().map(|why| (why.cause().into(), why.0.to_string()));
        let found: Vec<_> = failed.into_iter().chain(obstacles).collect();
        let failing = || log.as_ref().and_then(|log| log.failing.clone()).unwrap_or_default();
        let audit = audit.err().map(|_| failing());
        for cause in OF_THE_STORE {
            let why = found.iter().find(|(found, _)| *found == cause).map(|(_, why)| why.clone());
            app.readiness.note_and_log(cause, why);
        }
        app.readiness.note_and_log(UnreadyCause::AuditLog, audit);
        app.readiness.note_audit_log(log.is_some_and(|log| log.breach.is_some()));
    }
}

/// Writes the audit records of strangers' refusals.
async fn write_refusals(auditor: Arc<LogAuditor>) {
    auditor.write_refusals_regularly().await;
}

/// Removes the idempotency records whose time has passed.
async fn sweep_idempotency_records(app: Arc<App>, sweeps: Arc<SweepMetrics>) {
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        sweep.tick().await;
        match app.idempotency.remove_expired().await {
            Ok(removed) => {
                sweeps.idempotency_records.add(u64::try_from(removed).unwrap_or(u64::MAX));
                tracing::debug!(removed, "idempotency records whose time had passed were removed");
            }
            Err(error) => {
                tracing::warn!(%error, "idempotency records whose time had passed could not be removed")
            }
        }
    }
}

/// Removes the changes that are no longer kept for watchers.
async fn sweep_history(app: Arc<App>, sweeps: Arc<SweepMetrics>) {
    let mut sweep = tokio::time::interval(HISTORY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        sweep.tick().await;
        match app.history.sweep().await {
            Ok(0) => {}
            Ok(removed) => {
                sweeps.events.add(u64::try_from(removed).unwrap_or(u64::MAX));
                tracing::debug!(removed, "changes that are no longer kept were removed");
            }
            Err(error) => tracing::warn!(%error, "old changes could not be removed from the history"),
        }
    }
}

/// Resumes rotations of keys that were interrupted, and begins those that are due.
async fn tend_keys(app: Arc<App>) {
    let mut tend = tokio::time::interval(KEYS);
    loop {
        tokio::select! {
            _ = tend.tick() => {}
            () = app.keys.wait_for_restore() => {}
        }
        if let Err(error) = app.keys.tend().await {
            tracing::warn!(%error, "keys could not be rotated; this is tried again");
        }
    }
}

/// Keeps the anchor close behind the store.
async fn keep_anchor(app: Arc<App>) {
    let mut keep = tokio::time::interval(ANCHOR);
    loop {
        keep.tick().await;
        app.write_anchor().await;
    }
}

/// Removes copies of audit records from the store.
async fn tend_outbox(app: Arc<App>) {
    let mut tend = tokio::time::interval(OUTBOX);
    tend.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tend.tick().await;
        app.tend_outbox().await;
    }
}

/// Stores when secrets and API keys were last used.
async fn store_usage(app: Arc<App>) {
    let mut pause = tokio::time::interval(USAGE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pause.tick().await; // the first one is at once, and nothing was used yet
    loop {
        tokio::select! {
            _ = pause.tick() => {}
            () = app.much_used() => {}
        }
        app.store_usage().await;
    }
}

/// Tells the other servers over the store that this one is there, and compares the clocks.
async fn exchange_heartbeats(app: Arc<App>) {
    let mut beat = tokio::time::interval(HEARTBEAT);
    let mut look = tokio::time::interval(LOOK);
    for interval in [&mut beat, &mut look] {
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            _ = beat.tick() => app.exchange_heartbeats().await,
            _ = look.tick() => if app.look_at_heartbeats().await {
                app.exchange_heartbeats().await;
            },
        }
    }
}

/// Gives memory back to the system that a burst of requests has left free: soon after it has become much, and once in a while
/// what was free between blocks in use.
///
/// To count its free blocks, the system's allocator walks over them with its locks held. Beside a million secrets that can take tenths of a
/// second. So each pause is at least a hundred times as long as the processor time of the work before it.
async fn give_back_memory() {
    let (mut left, mut spent) = (0, Duration::ZERO);
    loop {
        for _ in 0..6 {
            tokio::time::sleep(MEMORY.max(100 * spent)).await;
            let (unused, took) = timed(strongroom_allocator::unused).await;
            spent = took;
            if unused >= left + WORTHWHILE {
                break;
            }
        }
        let (unused, took) = timed(|| {
            if strongroom_allocator::unused() >= WORTHWHILE {
                process::give_back_memory();
            }
            strongroom_allocator::unused()
        })
        .await;
        left = unused;
        spent += took;
    }
}

/// Does work that blocks, which gives a number, and says how much processor time it took. 0 where it failed.
async fn timed(work: impl FnOnce() -> usize + Send + 'static) -> (usize, Duration) {
    let timed = || {
        let begun = processor_time();
        let result = work();
        (result, processor_time().saturating_sub(begun))
    };
    tokio::task::spawn_blocking(timed).await.unwrap_or_default()
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

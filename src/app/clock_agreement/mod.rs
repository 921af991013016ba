//! Whether the clock of this server agrees with those of the other servers over its store.
//!
//! Every server shows the others its clock, with its heartbeat, every two seconds, and looks at theirs more often than that. A
//! server whose clock is not within 5 seconds of more than half of all clocks, its own included, makes no change: it would give
//! secrets and keys false times, and remove too early what is kept for a time. So of two servers whose clocks differ, neither makes
//! changes, as nobody can tell which one is right. Nor does such a server decide whether something has expired. The first changes of
//! a server wait until it has compared the clocks. Where a server is alone over its store, nothing of this happens.

mod comparison;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard, watch};
use tokio::time::timeout;
use uuid::Uuid;

pub use self::comparison::ClockSkew;
use self::comparison::{Agreement, KnownClocks, QUIET, newest_of_others};
use super::App;
use super::commit::Core;
use crate::domain::{Clock, Timestamp};
use crate::integrity::{Divergence, Heartbeat};
use crate::store::{OwnHeartbeat, Unavailable, UnavailableCause};

/// How long one that waits for the clocks to be compared waits for another one to look at them.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it waits at most: long enough that a server that shows nothing new counts as ended, and one has looked again.
const WAIT: Duration = QUIET.saturating_add(Duration::from_secs(2));

/// What a server knows of the clocks of the others.
pub(super) struct ClockAgreement {
    clock: Clock,
    known: watch::Sender<Option<KnownClocks>>,
    /// Why the last heartbeat could not be shown.
    failure: Mutex<Option<Unavailable>>,
    /// The turn to look at the heartbeats: what looks tell is compared in the order in which they were made.
    looking: AsyncMutex<()>,
}

impl ClockAgreement {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            known: watch::Sender::new(None),
            failure: Mutex::default(),
            looking: AsyncMutex::default(),
        }
    }

    /// Whether the clocks are about to be compared, so that a change waits and is not refused.
    fn is_about_to_be_known(&self) -> bool {
        let open_since = self.known.borrow().as_ref().and_then(|known| known.open_since);
        self.agreement() == Agreement::Open && open_since.is_some_and(|since| since.elapsed() < WAIT)
    }

    /// Fails where the clock of this server can be wrong.
    fn check(&self) -> Result<(), Unavailable> {
        match self.agreement() {
            Agreement::Agrees => Ok(()),
            Agreement::Differs => self.check_expiries(),
            Agreement::Open => {
                let text = "the clocks of the other servers could not be compared with that of this one yet: try again";
                Err(Unavailable::because(UnavailableCause::Clock, text))
            }
        }
    }

    /// Fails where the clock of this server is known to differ, so that it cannot tell what has expired.
    pub(super) fn check_expiries(&self) -> Result<(), Unavailable> {
        if self.agreement() != Agreement::Differs {
            return Ok(());
        }
        let ClockSkew { others, differing, largest, .. } = self.skew().unwrap_or_default();
        let (by, ahead) =
            (largest.unsigned_abs() / 1_000_000, if largest < 0 { "ahead of" } else { "behind" });
        Err(Unavailable::because(
            UnavailableCause::Clock,
            format!(
                "the clock of this server is {by} s {ahead} that of another one, and differs from {differing} of {others} \
                 by more than 5 s, so it makes no changes: set the clocks of the servers, with NTP"
            ),
        ))
    }

    fn agreement(&self) -> Agreement {
        let known = self.known.borrow();
        known.as_ref().map_or(Agreement::Agrees, |known| known.agreement(self.clock.now(), Instant::now()))
    }

    fn skew(&self) -> Option<ClockSkew> {
        self.known.borrow().as_ref().map(|known| known.skew(self.clock.now(), Instant::now()))
    }

    /// Takes in what a look has told. `own` is the process of this server. Returns whether there is a server that was not there
    /// before.
    fn note(&self, own: Uuid, heartbeats: &[Heartbeat], asked: Instant) -> bool {
        let others = newest_of_others(own, heartbeats);
        let (now, ended) = (self.clock.now(), Instant::now());
        let (mut was, mut is, mut has_new) = (None, None, false);
        self.known.send_modify(|known| {
            let next = KnownClocks::after(known.as_ref(), &others, asked, ended, now);
            was = known.as_ref().map(|known| known.agreement(now, ended));
            is = Some((next.agreement(now, ended), next.skew(now, ended)));
            has_new = next.has_new_since(known.as_ref());
            *known = Some(next);
        });
        if let Some((agreement, skew)) = is {
            log_change(was, agreement, skew);
        }
        has_new
    }

    fn note_failure(&self, failure: Option<Unavailable>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

fn log_change(was: Option<Agreement>, is: Agreement, skew: ClockSkew) {
    let ClockSkew { others, differing, largest, .. } = skew;
    match (was.unwrap_or(Agreement::Agrees), is) {
        (Agreement::Agrees | Agreement::Open, Agreement::Differs) => tracing::error!(
            others,
            differing,
            seconds = largest / 1_000_000,
            "the clocks of the servers differ: this one makes no changes until the clocks are set"
        ),
        (Agreement::Differs, Agreement::Agrees) => {
            tracing::info!(others, "the clock of this server agrees with most others again")
        }
        (Agreement::Agrees | Agreement::Open, Agreement::Agrees | Agreement::Open)
        | (Agreement::Differs, Agreement::Differs | Agreement::Open) => {}
    }
}

/// The heartbeats of the other servers, and whether one of these servers was not there before.
struct Looked {
    heartbeats: Vec<Heartbeat>,
    has_new: bool,
}

impl Core {
    /// Fails where this server must not make changes, because its clock can be wrong. Waits until the clocks are compared, for at
    /// most some seconds.
    pub(super) async fn confirm_clock(&self) -> Result<(), Unavailable> {
        let (clocks, begun) = (&self.clocks, Instant::now());
        let mut known = clocks.known.subscribe();
        while clocks.agreement() == Agreement::Open && begun.elapsed() < WAIT {
            let told = timeout(PAUSE, known.changed()).await;
            if told.is_err()
                && let Ok(turn) = clocks.looking.try_lock()
            {
                let _ = self.look(None, turn).await; // while nobody else looks
            }
        }
        clocks.check()
    }

    /// Shows the other servers over the store the heartbeat of this one, and takes in theirs. Nothing happens where the store is
    /// not shared. A store that is full takes no heartbeat: then theirs are looked at all the same.
    async fn exchange_heartbeats(&self) -> Result<Looked, Unavailable> {
        let own = || {
            let own = self.catalog.heartbeat(self.clock.now());
            own.seal(&self.keyring()).map_err(|error| Unavailable(error.to_string().into()))
        };
        let exchanged = self.look_at_heartbeats(Some(&own)).await;
        self.clocks.note_failure(exchanged.as_ref().err().cloned());
        match exchanged {
            Err(full) if full.cause() == UnavailableCause::Full => self.look_at_heartbeats(None).await,
            exchanged => exchanged,
        }
    }

    /// Takes in the heartbeats of the other servers, and shows them one of this server, where it is to show one.
    async fn look_at_heartbeats(&self, own: Option<OwnHeartbeat<'_>>) -> Result<Looked, Unavailable> {
        self.look(own, self.clocks.looking.lock().await).await
    }

    async fn look(
        &self,
        shown: Option<OwnHeartbeat<'_>>,
        _turn: MutexGuard<'_, ()>,
    ) -> Result<Looked, Unavailable> {
        let Some(place) = self.store.heartbeats() else {
            return Ok(Looked { heartbeats: Vec::new(), has_new: false });
        };
        let (keyring, own) = (self.keyring(), self.catalog.heartbeat(Timestamp::from_micros(0)).server);
        let asked = Instant::now();
        let found = place.exchange(shown).await?;
        // One that does not open is not of a server of this store, or of one that has another keyring for a moment.
        let heartbeats: Vec<_> =
            found.iter().filter_map(|sealed| Heartbeat::open(&keyring, sealed).ok()).collect();
        let has_new = self.clocks.note(own, &heartbeats, asked);
        Ok(Looked { heartbeats, has_new })
    }

    /// Tells what the store lacks, if another server over it has seen a later state of it.
    pub(super) async fn compare_with_others(&self) -> Result<Result<(), Divergence>, Unavailable> {
        let others = self.exchange_heartbeats().await?.heartbeats;
        if others.is_empty() {
            return Ok(Ok(()));
        }
        self.catalog.at_least(self.store.revision().await?).await?;
        let digest = self.catalog.digest();
        Ok(others.iter().try_for_each(|other| other.was_sent_before(&digest)))
    }
}

impl App {
    /// Shows the other servers over the store that this one is there, and compares its clock with theirs. A failure is logged,
    /// and this is tried again. Returns at once where the store is not shared.
    pub async fn exchange_heartbeats(&self) {
        if let Err(why) = self.core.exchange_heartbeats().await {
            tracing::debug!(cause = %why, "the heartbeats of the servers cannot be exchanged; this is tried again");
        }
    }

    /// Compares the clock of this server with those of the others, as they have shown them. Returns whether a server has appeared,
    /// which waits to see the clock of this one.
    pub async fn look_at_heartbeats(&self) -> bool {
        self.core.look_at_heartbeats(None).await.is_ok_and(|looked| looked.has_new)
    }

    /// Whether other servers can be over the same store.
    pub fn shares_its_store(&self) -> bool {
        self.core.store.heartbeats().is_some()
    }

    /// Why this server makes no changes now, as far as it knows without asking its store; empty: it makes them. The cause of each
    /// says what somebody has to do. A store that is not shared is not asked whether it takes changes.
    pub fn obstacles(&self) -> Vec<Unavailable> {
        let clocks = &self.core.clocks;
        let failure = clocks.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let follows = self.core.catalog.follows().err();
        // What waits for the clocks to be compared is not refused.
        let clock = if clocks.is_about_to_be_known() { None } else { clocks.check().err() };
        follows.into_iter().chain(failure).chain(clock).collect()
    }

    /// How the clock of this server compares with those of the others. `None`: the store is not shared.
    pub fn clock_skew(&self) -> Option<ClockSkew> {
        self.core.clocks.skew()
    }
}

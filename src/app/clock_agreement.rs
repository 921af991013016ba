//! Whether the clock of this server agrees with those of the other servers over its store.
//!
//! Every server shows the others its clock, with its heartbeat, every two seconds. A server whose clock is not within
//! [`BOUND`] of more than half of all clocks, its own included, makes no change: it would give secrets and keys false times, and
//! remove too early what is kept for a time. So of two servers whose clocks differ, neither makes changes, as nobody can tell
//! which one is right. Where a server is alone over its store, nothing of this happens.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::App;
use super::commit::Core;
use crate::domain::{Clock, Timestamp};
use crate::integrity::{Divergence, Heartbeat};
use crate::store::{HEARTBEAT_LIFE, Unavailable, UnavailableCause};

/// How far clocks may be apart.
const BOUND: Duration = Duration::from_secs(5);

/// How the clock of a server compares with those of the other servers over its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockSkew {
    /// How many other servers there are.
    pub others: usize,
    /// How many of their clocks differ by more than 5 seconds from that of this server.
    pub differing: usize,
    /// How far the clock that differs most is ahead of that of this server, in microseconds, to some seconds; negative: behind.
    pub largest: i64,
    /// Whether this server makes changes.
    pub agrees: bool,
}

/// What a server knows of the clocks of the others.
pub(super) struct ClockAgreement {
    clock: Clock,
    known: Mutex<Option<KnownClocks>>,
    /// Why the last heartbeat could not be shown.
    failure: Mutex<Option<Unavailable>>,
}

/// What the last exchange has told.
struct KnownClocks {
    /// When it was asked for, and what the clock of this server said then.
    asked: Instant,
    clock: Timestamp,
    others: HashMap<Uuid, OtherClock>,
    agreed: bool,
}

#[derive(Clone, Copy)]
struct OtherClock {
    /// What it said last.
    said: Timestamp,
    /// How far it is ahead of the clock of this server: at least, and at most.
    least: i64,
    most: i64,
}

impl OtherClock {
    fn differs(self) -> bool {
        let bound = micros(BOUND);
        self.least > bound || self.most < -bound
    }

    /// Whether it is known when it was said. At first it is not: the server may have ended, and may be this one before it was started
    /// again.
    fn has_known_age(self) -> bool {
        self.most.saturating_sub(self.least) < micros(HEARTBEAT_LIFE)
    }

    fn ahead(self) -> i64 {
        self.least.midpoint(self.most)
    }
}

impl KnownClocks {
    /// What is known after an exchange that was asked for at this time and has just ended. `now`: what the clock says now.
    fn after(
        before: Option<&Self>,
        heartbeats: &[Heartbeat],
        asked: Instant,
        ended: Instant,
        now: Timestamp,
    ) -> Self {
        // What is new was said after the exchange before was asked for; at first, within the life of a heartbeat.
        let since = before.map_or(HEARTBEAT_LIFE + ended.saturating_duration_since(asked), |before| {
            ended.saturating_duration_since(before.asked)
        });
        let others = heartbeats.iter().map(|Heartbeat { server, clock, .. }| {
            let same =
                before.and_then(|before| before.others.get(server)).filter(|other| other.said == *clock);
            let least = clock.as_micros().saturating_sub(now.as_micros());
            let new = OtherClock { said: *clock, least, most: least.saturating_add(micros(since)) };
            (*server, same.copied().unwrap_or(new))
        });
        let clock = now.minus(ended.saturating_duration_since(asked));
        let mut known = Self { asked, clock, others: others.collect(), agreed: true };
        known.agreed = known.skew().agrees;
        known
    }

    fn skew(&self) -> ClockSkew {
        let others = self.others.len();
        let differing = self.others.values().filter(|other| other.differs()).count();
        let largest =
            self.others.values().map(|other| other.ahead()).max_by_key(|ahead| ahead.unsigned_abs());
        let same = self.others.values().filter(|other| !other.differs() && other.has_known_age()).count();
        // This server and those that are known to agree with it are more than those that differ.
        let agrees = 1 + same > differing;
        ClockSkew { others, differing, largest: largest.unwrap_or(0), agrees }
    }

    /// How far the clock was set since the exchange.
    fn was_set_by(&self, now: Timestamp, at: Instant) -> i64 {
        let expected = self.clock.plus(at.saturating_duration_since(self.asked));
        now.as_micros().saturating_sub(expected.as_micros())
    }
}

impl ClockAgreement {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, known: Mutex::default(), failure: Mutex::default() }
    }

    /// Fails where this server must not make changes, because its clock can be wrong.
    pub(super) fn check(&self) -> Result<(), Unavailable> {
        let known = self.known();
        let Some(known) = known.as_ref() else { return Ok(()) };
        let skew = known.skew();
        if !skew.agrees {
            let ClockSkew { others, differing, largest, .. } = skew;
            let (by, ahead) =
                (largest.unsigned_abs() / 1_000_000, if largest < 0 { "ahead of" } else { "behind" });
            return Err(Unavailable::because(
                UnavailableCause::Clock,
                format!(
                    "the clock of this server is {by} s {ahead} that of another one, and differs from {differing} of {others} \
                     by more than 5 s, so it makes no changes: set the clocks of the servers, with NTP"
                ),
            ));
        }
        let by = known.was_set_by(self.clock.now(), Instant::now());
        if !known.others.is_empty() && by.unsigned_abs() > micros(BOUND).unsigned_abs() {
            let text = "the clock of this server was set a moment ago, and is not compared with the others yet: try again";
            return Err(Unavailable::because(UnavailableCause::Clock, text));
        }
        Ok(())
    }

    /// Takes in what an exchange has told. `own` is the process of this server.
    fn note(&self, own: Uuid, heartbeats: &[Heartbeat], asked: Instant) {
        let mut known = self.known();
        let before = known.as_ref();
        let others = newest_of_others(own, heartbeats);
        let next = KnownClocks::after(before, &others, asked, Instant::now(), self.clock.now());
        let agreed = before.is_none_or(|before| before.agreed);
        let ClockSkew { others, differing, largest, agrees } = next.skew();
        let ahead = largest / 1_000_000;
        match (agreed, agrees) {
            (true, false) => tracing::error!(
                others,
                differing,
                seconds = ahead,
                "the clocks of the servers differ: this one makes no changes until the clocks are set"
            ),
            (false, true) => tracing::info!(others, "the clock of this server agrees with most others again"),
            (true, true) | (false, false) => {}
        }
        *known = Some(next);
    }

    fn known(&self) -> MutexGuard<'_, Option<KnownClocks>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Shows the other servers over the store the heartbeat of this one, and takes in theirs. Nothing happens where the store is
    /// not shared.
    pub(super) async fn exchange_heartbeats(&self) -> Result<Vec<Heartbeat>, Unavailable> {
        let Some(place) = self.store.heartbeats() else { return Ok(Vec::new()) };
        let keyring = self.keyring();
        let own = self.catalog.heartbeat(self.clock.now());
        let sealed = own.seal(&keyring).map_err(|error| Unavailable(error.to_string().into()))?;
        let asked = Instant::now();
        let found = place.exchange(&sealed).await;
        let mut failure = self.clocks.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *failure = found.as_ref().err().cloned();
        drop(failure);
        let found = found?;
        // One that does not open is not of a server of this store, or of one that has another keyring for a moment.
        let others: Vec<_> =
            found.iter().filter_map(|sealed| Heartbeat::open(&keyring, sealed).ok()).collect();
        self.clocks.note(own.server, &others, asked);
        Ok(others)
    }

    /// Tells what the store lacks, if another server over it has seen a later state of it.
    pub(super) async fn compare_with_others(&self) -> Result<Result<(), Divergence>, Unavailable> {
        let others = self.exchange_heartbeats().await?;
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

    /// Whether other servers can be over the same store.
    pub fn shares_its_store(&self) -> bool {
        self.core.store.heartbeats().is_some()
    }

    /// Why this server makes no changes now, as far as it knows without asking its store; empty: it makes them. The cause of each
    /// says what somebody has to do. A store that is not shared is not asked whether it takes changes.
    pub fn obstacles(&self) -> Vec<Unavailable> {
        let failure = self.core.clocks.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let follows = self.core.catalog.follows().err();
        follows.into_iter().chain(failure).chain(self.core.clocks.check().err()).collect()
    }

    /// How the clock of this server compares with those of the others. `None`: the store is not shared.
    pub fn clock_skew(&self) -> Option<ClockSkew> {
        let known = self.core.clocks.known();
        known.as_ref().map(KnownClocks::skew)
    }
}

/// The newest heartbeat of each other server. Who can write to the store can put an older one beside it, and a copy of one of this
/// server, which must not count as another server with the same clock.
fn newest_of_others(own: Uuid, heartbeats: &[Heartbeat]) -> Vec<Heartbeat> {
    let mut newest: HashMap<Uuid, &Heartbeat> = HashMap::new();
    for heartbeat in heartbeats.iter().filter(|heartbeat| heartbeat.server != own) {
        let known = newest.entry(heartbeat.server).or_insert(heartbeat);
        if known.clock < heartbeat.clock {
            *known = heartbeat;
        }
    }
    newest.into_values().cloned().collect()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::{ServerIdentity, StoreDigest};

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: i64 = 3_600_000_000;

    /// Servers that show their clocks, each so many microseconds ahead of that of the one that compares.
    struct Scene {
        servers: Vec<std::sync::Arc<ServerIdentity>>,
        began: Instant,
        known: Option<KnownClocks>,
    }

    impl Scene {
        fn new(servers: usize) -> Self {
            let servers = (0..servers).map(|_| ServerIdentity::new(Default::default())).collect();
            Self { servers, began: Instant::now(), known: None }
        }

        /// An exchange so many seconds after the beginning. Each server said its time one second before.
        fn exchange(&mut self, at: u32, ahead: &[i64]) -> ClockSkew {
            let said: Vec<_> = ahead.iter().map(|ahead| Some((at - 1, *ahead))).collect();
            self.exchange_said(at, &said)
        }

        fn exchange_said(&mut self, at: u32, said: &[Option<(u32, i64)>]) -> ClockSkew {
            let clock = |second: u32| i64::from(second) * 1_000_000 + 1_764_007_876_120_000;
            let heartbeats: Vec<_> = self
                .servers
                .iter()
                .zip(said)
                .filter_map(|(server, said)| {
                    let (second, ahead) = (*said)?;
                    let time = Timestamp::from_micros(clock(second) + ahead);
                    Some(Heartbeat::new(server, time, &StoreDigest::default()))
                })
                .collect();
            let instant = self.began + SECOND * at;
            let now = Timestamp::from_micros(clock(at));
            let known = KnownClocks::after(self.known.as_ref(), &heartbeats, instant, instant, now);
            self.known.insert(known).skew()
        }
    }

    #[test]
    fn a_server_agrees_with_more_than_half_of_all_or_makes_no_changes() {
        let agrees = |ahead: &[i64]| {
            let mut scene = Scene::new(ahead.len());
            scene.exchange(10, &vec![0; ahead.len()]);
            scene.exchange(12, ahead).agrees
        };
        assert!(agrees(&[]));
        assert!(agrees(&[4_000_000]) && agrees(&[-4_000_000]));
        assert!(!agrees(&[HOUR]) && !agrees(&[-HOUR]), "of two, nobody knows which one is right");
        assert!(agrees(&[0, HOUR]), "another one is wrong");
        assert!(!agrees(&[HOUR, HOUR]), "this one is wrong");
        assert!(!agrees(&[HOUR, HOUR, 0]));
        assert!(agrees(&[HOUR, -HOUR, 0, 0]));
    }

    #[test]
    fn a_copy_of_a_heartbeat_counts_as_no_server() {
        let [own, other] = [(); 2].map(|()| ServerIdentity::new(Default::default()));
        let at = |server: &ServerIdentity, second: i64| {
            Heartbeat::new(server, Timestamp::from_micros(second * 1_000_000), &StoreDigest::default())
        };
        let (old, new) = (at(&other, 1), at(&other, 100));
        // Whichever comes first: they come in the order of their keys.
        for found in [[old.clone(), new.clone(), at(&own, 99)], [at(&own, 100), new.clone(), old]] {
            assert_eq!(newest_of_others(at(&own, 0).server, &found), std::slice::from_ref(&new));
        }
    }

    #[test]
    fn a_server_that_may_have_ended_agrees_with_nobody() {
        // A server with a wrong clock starts again: the heartbeat of its former process is still there.
        let mut scene = Scene::new(2);
        assert!(!scene.exchange_said(10, &[Some((9, 0)), Some((9, HOUR))]).agrees);
        assert!(!scene.exchange_said(12, &[Some((9, 0)), Some((11, HOUR))]).agrees);
        // In the second exchange, those that agree are known.
        let mut scene = Scene::new(2);
        assert!(!scene.exchange(10, &[0, HOUR]).agrees);
        assert!(scene.exchange(12, &[0, HOUR]).agrees);
    }

    #[test]
    fn a_heartbeat_that_is_old_says_nothing_of_its_clock() {
        let mut scene = Scene::new(2);
        // At first nobody knows how old they are, within their life; one that is ahead is ahead whatever its age.
        assert_eq!(scene.exchange_said(100, &[Some((86, 0)), None]).differing, 0);
        let skew = Scene::new(1).exchange_said(100, &[Some((99, HOUR))]);
        assert!(!skew.agrees && (skew.largest - HOUR).abs() < 20_000_000, "{skew:?}");
        // A server that has ended is shown for some time.
        assert_eq!(scene.exchange_said(102, &[Some((101, 0)), Some((101, 0))]).differing, 0);
        assert_eq!(scene.exchange_said(114, &[Some((101, 0)), Some((113, 0))]).differing, 0);
        assert_eq!(scene.exchange_said(116, &[None, Some((115, 0))]).others, 1);
        // Nor does an exchange that took long.
        assert_eq!(scene.exchange_said(160, &[None, Some((120, 0))]).differing, 0);
        let skew = scene.exchange_said(162, &[None, Some((161, -HOUR))]);
        assert_eq!((skew.others, skew.differing, skew.agrees), (1, 1, false));
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_at_once() {
        let mut scene = Scene::new(1);
        scene.exchange(10, &[0]);
        let known = scene.known.unwrap();
        let later = |micros| Timestamp::from_micros(known.clock.as_micros() + micros);
        assert_eq!(known.was_set_by(later(2_000_000), known.asked + 2 * SECOND), 0);
        assert_eq!(known.was_set_by(later(HOUR + 2_000_000), known.asked + 2 * SECOND), HOUR);
    }
}

//! How the clock of this server compares with those of the others, from what looks at their heartbeats have told.
//!
//! A heartbeat tells what a clock said, and not when. A look that finds a new one knows that it came after the look before, and so
//! between which two offsets the clock of its server is. Only the first look of a server does not know how old a heartbeat is: until
//! the other server shows its next one, its clock counts as not measured.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::integrity::Heartbeat;
use crate::store::HEARTBEAT_LIFE;

/// How far clocks may be apart.
const BOUND: Duration = Duration::from_secs(5);
/// How uncertain an offset is at most that counts as measured.
const PRECISE: Duration = Duration::from_secs(1);
/// For how long a measured offset stands where those after it are less certain and do not contradict it.
const STANDS: Duration = HEARTBEAT_LIFE;
/// A server that has shown no new heartbeat for this long has ended, or stands still: more than two heartbeats.
pub(super) const QUIET: Duration = Duration::from_secs(5);

/// How the clock of a server compares with those of the other servers over its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockSkew {
    /// How many other servers there are.
    pub others: usize,
    /// How many of their clocks differ by more than 5 seconds from that of this server.
    pub differing: usize,
    /// How far the clock that differs most is ahead of that of this server, in microseconds; negative: behind. To a second where the
    /// clock is measured, and otherwise to some seconds.
    pub largest: i64,
    /// Whether this server makes changes.
    pub agrees: bool,
}

/// Whether the clock of a server agrees with most of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreement {
    /// With more than half of all, whatever those say that are not measured.
    Agrees,
    /// With no more than half of all, whatever those say that are not measured.
    Differs,
    /// That depends on those that are not measured.
    Open,
}

/// What the last look has told.
#[derive(Clone)]
pub(super) struct KnownClocks {
    /// When it was asked for, and what the clock of this server said then.
    asked: Instant,
    clock: Timestamp,
    others: HashMap<Uuid, OtherClock>,
    /// Since when it is open whether the clock agrees with most.
    pub(super) open_since: Option<Instant>,
}

#[derive(Clone, Copy)]
struct OtherClock {
    /// What it said last, and when this was first seen.
    said: Timestamp,
    seen: Instant,
    offset: Offset,
}

/// How far a clock is ahead of that of this server, in microseconds: at least, and at most, where that is known.
#[derive(Clone, Copy)]
struct Offset {
    least: i64,
    most: Option<i64>,
    taken: Instant,
}

/// What is known of another clock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Same,
    Differs,
    /// Its server shows it, and it is not known when it said what it said.
    NotMeasured,
    /// Its server shows nothing new.
    Ended,
}

impl Offset {
    fn is_measured(self) -> bool {
        self.most.is_some_and(|most| most.saturating_sub(self.least) <= micros(PRECISE))
    }

    /// This offset, or the one before it where that one is more certain and can still be right.
    fn or_better(self, before: Self) -> Self {
        let agree = before.most.is_none_or(|most| self.least <= most)
            && self.most.is_none_or(|most| before.least <= most);
        let stands = self.taken.saturating_duration_since(before.taken) <= STANDS;
        if !self.is_measured() && before.is_measured() && agree && stands { before } else { self }
    }

    /// The same from the clock of this server after it was set forward by so much.
    fn seen_from(self, forward: i64) -> Self {
        let moved = |offset: i64| offset.saturating_sub(forward);
        Self { least: moved(self.least), most: self.most.map(moved), ..self }
    }
}

impl OtherClock {
    /// `forward`: by how much the clock of this server was set since the last look, which was at `looked`.
    fn found(self, forward: i64, looked: Instant) -> Found {
        let (Offset { least, most, .. }, bound) = (self.offset.seen_from(forward), micros(BOUND));
        let silent = looked.saturating_duration_since(self.seen);
        if silent >= HEARTBEAT_LIFE {
            return Found::Ended; // a server that runs would have shown a newer heartbeat
        }
        if least > bound || most.is_some_and(|most| most < -bound) {
            return Found::Differs;
        }
        if least >= -bound && most.is_some_and(|most| most <= bound) {
            return Found::Same;
        }
        if self.offset.is_measured() {
            return Found::Differs; // whatever may be beyond the bound is beyond it
        }
        if silent >= QUIET { Found::Ended } else { Found::NotMeasured }
    }
}

impl KnownClocks {
    /// What is known after a look that was asked for at this time and has ended at that one. `now`: what the clock said then.
    pub(super) fn after(
        before: Option<&Self>,
        heartbeats: &[Heartbeat],
        asked: Instant,
        ended: Instant,
        now: Timestamp,
    ) -> Self {
        // What is new was said after the look before was asked for. At first, nobody knows when it was said.
        let since = before.map(|before| micros(ended.saturating_duration_since(before.asked)));
        let forward = before.map_or(0, |before| before.was_set_by(now, ended));
        let other = |heartbeat: &Heartbeat| {
            let known = before.and_then(|before| before.others.get(&heartbeat.server)).copied();
            let known = known.map(|other| OtherClock { offset: other.offset.seen_from(forward), ..other });
            if let Some(same) = known.filter(|other| other.said == heartbeat.clock) {
                return same;
            }
            let least = heartbeat.clock.as_micros().saturating_sub(now.as_micros());
            let new = Offset { least, most: since.map(|since| least.saturating_add(since)), taken: ended };
            let offset = known.map_or(new, |before| new.or_better(before.offset));
            OtherClock { said: heartbeat.clock, seen: ended, offset }
        };
        let others = heartbeats.iter().map(|heartbeat| (heartbeat.server, other(heartbeat))).collect();
        let clock = now.minus(ended.saturating_duration_since(asked));
        let mut known = Self { asked, clock, others, open_since: None };
        if known.agreement(now, ended) == Agreement::Open {
            known.open_since = before.and_then(|before| before.open_since).or(Some(ended));
        }
        known
    }

    /// Whether the clock agrees with most, when it says `now`.
    pub(super) fn agreement(&self, now: Timestamp, at: Instant) -> Agreement {
        let forward = self.was_set_by(now, at);
        let count =
            |wanted| self.others.values().filter(|other| other.found(forward, self.asked) == wanted).count();
        let (same, differing, open) =
            (1 + count(Found::Same), count(Found::Differs), count(Found::NotMeasured));
        if same > differing + open {
            Agreement::Agrees
        } else if same + open <= differing {
            Agreement::Differs
        } else {
            Agreement::Open
        }
    }

    pub(super) fn skew(&self, now: Timestamp, at: Instant) -> ClockSkew {
        let forward = self.was_set_by(now, at);
        let differs = |other: &&OtherClock| other.found(forward, self.asked) == Found::Differs;
        let ahead = |other: &OtherClock| {
            let Offset { least, most, .. } = other.offset.seen_from(forward);
            most.map_or(least, |most| least.midpoint(most))
        };
        let largest = self.others.values().map(ahead).max_by_key(|ahead| ahead.unsigned_abs());
        ClockSkew {
            others: self.others.len(),
            differing: self.others.values().filter(differs).count(),
            largest: largest.unwrap_or(0),
            agrees: self.agreement(now, at) == Agreement::Agrees,
        }
    }

    /// Whether the last look has found a server that none before it has found.
    pub(super) fn has_new_since(&self, before: Option<&Self>) -> bool {
        self.others.keys().any(|server| before.is_none_or(|before| !before.others.contains_key(server)))
    }

    /// How far the clock was set forward since the look. A clock that is set is so noticed at once.
    fn was_set_by(&self, now: Timestamp, at: Instant) -> i64 {
        let expected = self.clock.plus(at.saturating_duration_since(self.asked));
        now.as_micros().saturating_sub(expected.as_micros())
    }
}

/// The newest heartbeat of each other server. Who can write to the store can put an older one beside it, and a copy of one of this
/// server, which must not count as another server with the same clock.
pub(super) fn newest_of_others(own: Uuid, heartbeats: &[Heartbeat]) -> Vec<Heartbeat> {
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

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3600 * SECOND;

    /// Servers that show their clocks, each so many microseconds ahead of that of the one that compares. Times are in tenths of a
    /// second after the beginning.
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

        /// Two looks, half a second apart, between which all servers have shown their clocks again.
        fn measured(ahead: &[i64]) -> Self {
            let mut scene = Self::new(ahead.len());
            scene.look(100, &ahead.iter().map(|ahead| Some((90, *ahead))).collect::<Vec<_>>());
            scene.look(105, &ahead.iter().map(|ahead| Some((102, *ahead))).collect::<Vec<_>>());
            scene
        }

        /// A look at this time. Each server said its time at that one.
        fn look(&mut self, at: u32, said: &[Option<(u32, i64)>]) -> Agreement {
            let heartbeats: Vec<_> = self
                .servers
                .iter()
                .zip(said)
                .filter_map(|(server, said)| {
                    let (second, ahead) = (*said)?;
                    let time = Timestamp::from_micros(clock(second).as_micros() + ahead);
                    Some(Heartbeat::new(server, time, &StoreDigest::default()))
                })
                .collect();
            let instant = self.instant(at);
            let known = KnownClocks::after(self.known.as_ref(), &heartbeats, instant, instant, clock(at));
            self.known.insert(known).agreement(clock(at), instant)
        }

        fn instant(&self, at: u32) -> Instant {
            self.began + Duration::from_millis(100) * at
        }

        fn skew(&self, at: u32) -> ClockSkew {
            self.known.as_ref().unwrap().skew(clock(at), self.instant(at))
        }

        fn agreement(&self, at: u32) -> Agreement {
            self.known.as_ref().unwrap().agreement(clock(at), self.instant(at))
        }
    }

    /// The time by the clock of the server that compares.
    fn clock(tenths: u32) -> Timestamp {
        Timestamp::from_micros(i64::from(tenths) * 100_000 + 1_764_007_876_120_000)
    }

    #[test]
    fn a_server_agrees_with_more_than_half_of_all_or_makes_no_changes() {
        let agrees = |ahead: &[i64]| Scene::measured(ahead).agreement(105) == Agreement::Agrees;
        assert!(agrees(&[]));
        assert!(!agrees(&[HOUR]) && !agrees(&[-HOUR]), "of two, nobody knows which one is right");
        assert!(agrees(&[0, HOUR]), "another one is wrong");
        assert!(!agrees(&[HOUR, HOUR]), "this one is wrong");
        assert!(!agrees(&[HOUR, HOUR, 0]));
        assert!(agrees(&[HOUR, -HOUR, 0, 0]));
    }

    #[test]
    fn the_bound_is_five_seconds_and_what_is_uncertain_counts_as_beyond_it() {
        let agreement = |ahead: i64| Scene::measured(&[ahead]).agreement(105);
        for sign in [1, -1] {
            for within in [0, 3 * SECOND, 4 * SECOND] {
                assert_eq!(agreement(sign * within), Agreement::Agrees, "{within}");
            }
            for beyond in [5_000_001, 6 * SECOND, 7 * SECOND, 19 * SECOND] {
                assert_eq!(agreement(sign * beyond), Agreement::Differs, "{beyond}");
            }
        }
        // Each look and each heartbeat may take its time.
        for took in [1, 4, 9] {
            let mut scene = Scene::new(1);
            scene.look(100, &[Some((90, 6 * SECOND))]);
            assert_eq!(scene.look(100 + took, &[Some((100 + took, 6 * SECOND))]), Agreement::Differs);
            let mut scene = Scene::new(1);
            scene.look(100, &[Some((90, -6 * SECOND))]);
            assert_eq!(scene.look(100 + took, &[Some((100, -6 * SECOND))]), Agreement::Differs);
        }
    }

    #[test]
    fn a_first_look_decides_nothing_until_the_others_have_shown_their_clocks_again() {
        // The heartbeat of a server that is behind by nearly 20 seconds looks like an old one.
        for ahead in [0, -6, -12, -19] {
            let mut scene = Scene::new(1);
            assert_eq!(scene.look(100, &[Some((99, ahead * SECOND))]), Agreement::Open, "{ahead}");
            assert_eq!(scene.look(105, &[Some((99, ahead * SECOND))]), Agreement::Open);
            let expected = if ahead == 0 { Agreement::Agrees } else { Agreement::Differs };
            assert_eq!(scene.look(110, &[Some((109, ahead * SECOND))]), expected);
        }
        // What is ahead is so, however old it is.
        assert_eq!(Scene::new(1).look(100, &[Some((99, 6 * SECOND))]), Agreement::Differs);
        // Where most are known, the others decide nothing.
        let mut scene = Scene::measured(&[0, 0]);
        scene.servers.push(ServerIdentity::new(Default::default()));
        assert_eq!(scene.look(110, &[Some((102, 0)), Some((102, 0)), Some((20, 0))]), Agreement::Agrees);
    }

    #[test]
    fn what_is_within_the_bound_however_uncertain_agrees() {
        // etcd takes 1.2 s to answer, so that each offset is known to nearly two seconds.
        let mut scene = Scene::new(1);
        scene.look(100, &[Some((90, 0))]);
        for round in 1..40 {
            let at = 100 + 18 * round;
            assert_eq!(scene.look(at, &[Some((at - 6, 0))]), Agreement::Agrees, "{round}");
        }
        let mut scene = Scene::new(1);
        scene.look(100, &[Some((90, 5 * SECOND))]);
        assert_eq!(scene.look(118, &[Some((112, 5 * SECOND))]), Agreement::Open, "it can be beyond");
    }

    #[test]
    fn an_old_heartbeat_is_that_of_an_ended_server_and_not_of_a_clock_that_is_behind() {
        let mut scene = Scene::new(1);
        assert_eq!(scene.look(1000, &[Some((100, 0))]), Agreement::Open, "a minute and a half old");
        assert_eq!(scene.look(1050, &[Some((100, 0))]), Agreement::Agrees);
        // Nor does the clock of a server count that was wrong, and shows nothing any more.
        let mut scene = Scene::measured(&[0, HOUR, HOUR]);
        assert_eq!(scene.agreement(105), Agreement::Differs);
        let mut shown = [Some((250, 0)), Some((102, HOUR)), Some((102, HOUR))];
        assert_eq!(scene.look(255, &shown), Agreement::Agrees);
        shown[1] = None;
        assert_eq!(scene.look(260, &shown), Agreement::Agrees);
    }

    #[test]
    fn a_server_that_shows_nothing_new_has_ended_and_decides_nothing() {
        let mut scene = Scene::new(1);
        assert_eq!(scene.look(100, &[Some((60, 0))]), Agreement::Open);
        assert_eq!(scene.known.as_ref().unwrap().open_since, Some(scene.instant(100)));
        assert_eq!(scene.look(149, &[Some((60, 0))]), Agreement::Open);
        assert_eq!(scene.agreement(200), Agreement::Open, "nobody has looked since");
        assert_eq!(scene.look(150, &[Some((60, 0))]), Agreement::Agrees);
        // It is shown for some time after its clock was measured, too.
        let mut scene = Scene::measured(&[0]);
        assert_eq!(scene.look(200, &[Some((102, 0))]), Agreement::Agrees);
        assert_eq!(scene.look(250, &[None]), Agreement::Agrees);
        assert_eq!(scene.skew(250).others, 0);
        // A server with a wrong clock starts again: the heartbeat of its former process does not help it.
        let mut scene = Scene::new(2);
        assert_ne!(scene.look(100, &[Some((90, 0)), Some((90, HOUR))]), Agreement::Agrees);
        assert_ne!(scene.look(120, &[Some((90, 0)), Some((110, HOUR))]), Agreement::Agrees);
        assert_eq!(scene.look(150, &[Some((90, 0)), Some((140, HOUR))]), Agreement::Differs);
    }

    #[test]
    fn a_look_that_took_long_changes_nothing_that_is_known_unless_it_contradicts_it() {
        let mut scene = Scene::measured(&[2 * SECOND]);
        assert_eq!(scene.look(200, &[Some((190, 2 * SECOND))]), Agreement::Agrees);
        assert_eq!(scene.skew(200).largest / SECOND, 1, "in whole seconds");
        // Nothing precise is known for too long.
        assert_eq!(scene.look(300, &[Some((290, 2 * SECOND))]), Agreement::Open);
        assert_eq!(scene.look(305, &[Some((302, 2 * SECOND))]), Agreement::Agrees);
        assert_eq!(scene.look(400, &[Some((390, -20 * SECOND))]), Agreement::Differs);
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_at_once() {
        let scene = Scene::measured(&[0]);
        let known = scene.known.as_ref().unwrap();
        let later = |tenths: u32, forward: i64| {
            let now = Timestamp::from_micros(clock(tenths).as_micros() + forward);
            (
                known.agreement(now, scene.instant(tenths)),
                known.skew(now, scene.instant(tenths)).largest / SECOND,
            )
        };
        assert_eq!(later(110, 0), (Agreement::Agrees, 0));
        assert_eq!(later(110, 4 * SECOND), (Agreement::Agrees, -4));
        assert_eq!(later(110, 6 * SECOND), (Agreement::Differs, -6));
        assert_eq!(later(110, -HOUR), (Agreement::Differs, 3599));
        assert_eq!(known.agreement(clock(110), scene.instant(110)), Agreement::Agrees);
        // The next look does not take the heartbeats of before for those of now.
        let heartbeat = Heartbeat::new(&scene.servers[0], clock(102), &StoreDigest::default());
        let now = Timestamp::from_micros(clock(110).as_micros() + HOUR);
        let at = scene.instant(110);
        let next = KnownClocks::after(Some(known), &[heartbeat], at, at, now);
        assert_eq!(next.agreement(now, at), Agreement::Differs);
    }

    #[test]
    fn a_copy_of_a_heartbeat_counts_as_no_server() {
        let [own, other] = [(); 2].map(|()| ServerIdentity::new(Default::default()));
        let at = |server: &ServerIdentity, second: i64| {
            Heartbeat::new(server, Timestamp::from_micros(second * SECOND), &StoreDigest::default())
        };
        let (old, new) = (at(&other, 1), at(&other, 100));
        // Whichever comes first: they come in the order of their keys.
        for found in [[old.clone(), new.clone(), at(&own, 99)], [at(&own, 100), new.clone(), old]] {
            assert_eq!(newest_of_others(at(&own, 0).server, &found), std::slice::from_ref(&new));
        }
    }
}

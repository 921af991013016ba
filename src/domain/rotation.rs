//! When and how a secret is rotated: its policy, and how far the next rotation has come.
//!
//! All of this is pure: the callers give the time. A rotation is due from [`Rotation::due_at`] on, while the window of its policy is
//! open. The service looks at it at [`Rotation::next_due`], and then takes the [`RotationStep`] that [`Rotation::step`] says.

use std::fmt;
use std::time::Duration;

use subtle::ConstantTimeEq;

use super::{Generator, Invalid, Metadata, Secret, Timestamp};

/// The rotation of a secret that has a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The policy.
    pub policy: RotationPolicy,
    /// When the next rotation is due; `None`: none is planned.
    pub next_at: Option<Timestamp>,
    /// Whether watchers have been told that the rotation is due.
    pub due_told: bool,
    /// Who holds the rotation that is due.
    pub claim: Option<Claim>,
    /// The attempts since the last success, where they failed.
    pub failure: Option<RotationFailure>,
}

/// When and how a secret is to be rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationPolicy {
    /// The time between two rotations; `None`: rotations are made on request only.
    pub interval: Option<Duration>,
    /// How the server makes new values; `None`: it tells that a rotation is due, and a worker makes it.
    pub generator: Option<Generator>,
    /// How long the former version stays readable; `None`: as long as it is kept and enabled.
    pub grace_period: Option<Duration>,
    /// The time of day within which rotations are made; `None`: at any time.
    pub window: Option<DailyWindow>,
    /// Whether rotations wait until the policy is changed.
    pub paused: bool,
    /// Whether the former version retires early, once all of its consumers use a newer one.
    pub retire_when_unread: bool,
}

/// A time of day in UTC, from one minute until before another; it goes over midnight where the end is before the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyWindow {
    /// The first minute of the day, 0 to 1,439.
    start: u16,
    /// The minute of the day at which it ends.
    end: u16,
}

/// The claim of a worker on a rotation that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its id, which only the worker was told.
    pub id: ClaimId,
    /// The principal of the worker, as text.
    pub principal: Box<str>,
    /// When its lease runs out.
    pub expires_at: Timestamp,
}

/// The id of a claim: 16 random bytes. It shows nothing of itself in logs.
#[derive(Clone)]
pub struct ClaimId([u8; 16]);

/// Attempts to rotate a secret that failed, since the last success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationFailure {
    /// How many there were, from 1.
    pub attempts: u32,
    /// When the last one failed.
    pub failed_at: Timestamp,
    /// Why it failed, in the words of the worker.
    pub error: Box<str>,
    /// When the rotation is due again.
    pub retry_at: Timestamp,
}

/// Which rotations a worker takes.
#[derive(Debug, Clone, Default)]
pub struct RotationFilter {
    /// What the name of the secret must begin with; empty for all names.
    pub prefix: Box<str>,
    /// Pairs that the metadata of the secret must have; empty for all secrets.
    pub metadata: Metadata,
}

/// What the service has to do for a rotation at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// Tell watchers that the rotation is due, and note it with [`Rotation::told`].
    Tell,
    /// Generate a value and make it the current version, which [`Rotation::finished`] notes.
    Rotate,
    /// Wait for the next window, with [`Rotation::postponed`]: the one in which it was due has passed.
    Postpone,
}

const MINUTES_OF_DAY: u16 = 24 * 60;
/// A minute and a day, in microseconds.
const MINUTE: i64 = 60_000_000;
const DAY: i64 = MINUTE * MINUTES_OF_DAY as i64;
/// How long the rotation waits after the first failure, and at most after many.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LAST_RETRY: Duration = Duration::from_secs(6 * 60 * 60);
/// How many bytes the reason of a failure has at most.
pub const MAX_FAILURE_BYTES: usize = 1024;

impl Rotation {
    /// The rotation of a secret that gets this policy at a time. The next one is due after the interval, within the window.
    pub fn new(policy: RotationPolicy, at: Timestamp) -> Self {
        let next_at = policy.next_after(at);
        Self { policy, next_at, due_told: false, claim: None, failure: None }
    }

    /// The same rotation under another policy. A rotation that is planned or due stays so where the interval and the window stay
    /// the same. A failure is forgotten: the new policy may be the remedy. A claim stays until it ends.
    #[must_use]
    pub fn with_policy(&self, policy: RotationPolicy, at: Timestamp) -> Self {
        if policy == self.policy {
            return self.clone();
        }
        let same_times = policy.interval == self.policy.interval && policy.window == self.policy.window;
        let next_at = if same_times { self.next_at } else { policy.next_after(at) };
        Self { policy, next_at, due_told: false, claim: self.claim.clone(), failure: None }
    }

    /// Since when the rotation is due, or when it will be: not before the retry after a failure, and within the window. `None`: none
    /// is planned, or rotations are paused.
    pub fn due_at(&self) -> Option<Timestamp> {
        if self.policy.paused {
            return None;
        }
        let retry_at = self.failure.as_ref().map(|failure| failure.retry_at);
        let due_at = self.next_at?.max(retry_at.unwrap_or(Timestamp::from_micros(i64::MIN)));
        Some(self.policy.open_at(due_at))
    }

    /// When the service has to look at the rotation; `None`: it has nothing to do. While somebody holds the rotation, that is when
    /// the lease runs out.
    pub fn next_due(&self) -> Option<Timestamp> {
        let free_at = self.free_at()?;
        if self.waits_for_worker() { self.policy.closes_after(free_at) } else { Some(free_at) }
    }

    /// Whether watchers know that it is due, and a worker is to take it.
    fn waits_for_worker(&self) -> bool {
        self.policy.generator.is_none() && self.due_told
    }

    /// What the service has to do for the rotation now; `None`: nothing.
    pub fn step(&self, now: Timestamp) -> Option<RotationStep> {
        self.next_due().filter(|due| *due <= now)?;
        Some(if self.policy.open_at(now) != now || self.waits_for_worker() {
            RotationStep::Postpone
        } else if self.policy.generator.is_some() {
            RotationStep::Rotate
        } else {
            RotationStep::Tell
        })
    }

    /// Since when a worker can claim the rotation, or when it will be able to; `None`: there is none to claim.
    pub fn claimable_at(&self) -> Option<Timestamp> {
        if self.policy.generator.is_some() { None } else { self.free_at() }
    }

    /// Whether a worker can claim the rotation now.
    pub fn is_claimable(&self, now: Timestamp) -> bool {
        self.claimable_at().is_some_and(|at| at <= now) && self.policy.open_at(now) == now
    }

    /// When the rotation is due and nobody holds it.
    fn free_at(&self) -> Option<Timestamp> {
        let lease = self.claim.as_ref().map(|claim| claim.expires_at);
        self.due_at().map(|due_at| lease.map_or(due_at, |lease| due_at.max(lease)))
    }

    /// Whether the claim with this id holds now.
    pub fn is_held_by(&self, id: &ClaimId, now: Timestamp) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.id == *id && claim.expires_at > now)
    }

    /// Notes that a worker has claimed the rotation. Should the lease run out, watchers are told again that the rotation is due.
    pub fn claimed(&mut self, claim: Claim) {
        self.claim = Some(claim);
        self.due_told = false;
    }

    /// Notes that the worker has given the rotation back: it is due at once, and watchers are told again.
    pub fn released(&mut self) {
        self.claim = None;
        self.due_told = false;
    }

    /// Notes that watchers were told that the rotation is due.
    pub fn told(&mut self, at: Timestamp) {
        self.due_told = true;
        self.claim.take_if(|claim| claim.expires_at <= at);
    }

    /// Notes that the rotation has missed its window, and waits for the next one, in which watchers are told again that it is due.
    pub fn postponed(&mut self, at: Timestamp) {
        self.due_told = false;
        self.next_at = self.next_at.map(|_| self.policy.open_at(at));
    }

    /// Notes that a rotation has succeeded: the next one is planned, and claims and failures are over.
    pub fn finished(&mut self, at: Timestamp) {
        self.next_at = self.policy.next_after(at);
        self.due_told = false;
        self.claim = None;
        self.failure = None;
    }

    /// Notes that an attempt has failed: the claim is over, and the rotation is due again after that time; `None`: after 1 minute,
    /// twice as long after each further failure, at most 6 hours. Of the reason, the first 1,024 bytes are kept.
    pub fn failed(&mut self, at: Timestamp, error: &str, retry_after: Option<Duration>) {
        let before = self.failure.as_ref().map_or(0, |failure| failure.attempts);
        let doubled = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(before)).min(LAST_RETRY);
        let error = error.get(..error.floor_char_boundary(MAX_FAILURE_BYTES)).unwrap_or_default();
        self.failure = Some(RotationFailure {
            attempts: before.saturating_add(1),
            failed_at: at,
            error: error.into(),
            retry_at: at.plus(retry_after.unwrap_or(doubled)),
        });
        self.released();
    }
}

impl RotationFilter {
    /// Whether a secret is one of those.
    pub fn matches(&self, secret: &Secret) -> bool {
        secret.name.as_str().starts_with(&*self.prefix)
            && self.metadata.iter().all(|(key, value)| secret.metadata.has(key, value))
    }
}

impl Secret {
    /// Since when a worker can claim the rotation of the secret, or when it will be able to; `None`: there is none to claim.
    pub fn claimable_at(&self) -> Option<Timestamp> {
        self.rotation.as_ref().filter(|_| !self.is_deleted())?.claimable_at()
    }

    /// Whether a worker can claim the rotation of the secret now.
    pub fn is_claimable(&self, now: Timestamp) -> bool {
        let can_change = !self.is_deleted() && !self.is_expired(now);
        can_change && self.rotation.as_ref().is_some_and(|rotation| rotation.is_claimable(now))
    }
}

impl RotationPolicy {
    /// When the next rotation is due after one at that time.
    fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.interval.map(|interval| self.open_at(at.plus(interval)))
    }

    /// That time where rotations are made then, or else the next time at which they are.
    fn open_at(&self, at: Timestamp) -> Timestamp {
        self.window.map_or(at, |window| window.next_open(at))
    }

    /// When the window closes that is open at a time; `None`: there is no window.
    fn closes_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.window.map(|window| window.closes_after(at))
    }
}

impl ClaimId {
    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Compares in constant time.
impl PartialEq for ClaimId {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ClaimId {}

impl fmt::Debug for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimId(..)")
    }
}

impl DailyWindow {
    /// Parses a window such as `02:00-04:00`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let window = || {
            let (start, end) = text.split_once('-')?;
            Self::of_minutes(minute_of_day(start)?, minute_of_day(end)?)
        };
        window().ok_or(Invalid::new(
            "must be two different times of day in UTC such as 02:00-04:00, from 00:00 to 23:59",
        ))
    }

    /// The window from one minute of the day until before another; `None` where one is no minute of a day, or both are the same:
    /// such a window would never open.
    pub fn of_minutes(start: u16, end: u16) -> Option<Self> {
        (start < MINUTES_OF_DAY && end < MINUTES_OF_DAY && start != end).then_some(Self { start, end })
    }

    /// The two minutes of the day.
    pub fn minutes(self) -> (u16, u16) {
        (self.start, self.end)
    }

    /// That time where the window is open then, or else the next time at which it opens.
    pub fn next_open(self, at: Timestamp) -> Timestamp {
        let midnight = at.as_micros().div_euclid(DAY) * DAY;
        let minute = at.as_micros().rem_euclid(DAY) / MINUTE;
        let (start, end) = (i64::from(self.start), i64::from(self.end));
        let open = if start < end { (start..end).contains(&minute) } else { minute >= start || minute < end };
        if open {
            return at;
        }
        let next_day = if minute < start { 0 } else { DAY };
        Timestamp::from_micros(midnight.saturating_add(next_day).saturating_add(start * MINUTE))
    }

    /// The end of the window that is open at a time; that time itself where it is closed.
    fn closes_after(self, at: Timestamp) -> Timestamp {
        if self.next_open(at) != at {
            return at;
        }
        let closed = Self { start: self.end, end: self.start };
        closed.next_open(at)
    }
}

/// `02:00-04:00`.
impl fmt::Display for DailyWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

/// The minute of the day that a text such as `02:30` names.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |text: &str, below: u16| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|number| digits && *number < below)
    };
    Some(two_digits(hour, 24)? * 60 + two_digits(minute, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_two_different_times_of_day() {
        for text in ["02:00-04:00", "22:30-01:15", "00:00-23:59"] {
            assert_eq!(DailyWindow::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "02:00",
            "2:00-4:00",
            "02:00-02:00",
            "24:00-01:00",
            "00:60-01:00",
            "02:00-04:00-",
            "+2:00-04:00",
        ] {
            assert!(DailyWindow::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_outside_a_window_waits_for_the_next_one() {
        let at = |hours: i64, minutes: i64| Timestamp::from_micros((hours * 60 + minutes) * 60_000_000);
        let night = DailyWindow::parse("02:00-04:00").unwrap();
        assert_eq!(night.next_open(at(1, 59)), at(2, 0));
        assert_eq!(night.next_open(at(2, 0)), at(2, 0));
        assert_eq!(night.next_open(at(3, 59)), at(3, 59));
        assert_eq!(night.next_open(at(4, 0)), at(26, 0));
        let over_midnight = DailyWindow::parse("22:00-02:00").unwrap();
        assert_eq!(over_midnight.next_open(at(1, 0)), at(1, 0));
        assert_eq!(over_midnight.next_open(at(2, 0)), at(22, 0));
        assert_eq!(over_midnight.next_open(at(23, 0)), at(23, 0));
        assert_eq!(over_midnight.next_open(at(-1, 0)), at(-1, 0));
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn policy() -> RotationPolicy {
        RotationPolicy {
            interval: Some(Duration::from_secs(100)),
            generator: None,
            grace_period: None,
            window: None,
            paused: false,
            retire_when_unread: false,
        }
    }

    fn claim(number: u8, seconds: i64) -> Claim {
        Claim { id: ClaimId::from_bytes([number; 16]), principal: "key:a".into(), expires_at: at(seconds) }
    }

    #[test]
    fn a_rotation_for_workers_is_told_once_and_again_when_nobody_finishes_it() {
        let mut rotation = Rotation::new(policy(), at(0));
        assert_eq!((rotation.next_at, rotation.next_due()), (Some(at(100)), Some(at(100))));
        assert_eq!(rotation.step(at(99)), None);
        assert!(!rotation.is_claimable(at(99)) && rotation.is_claimable(at(100)));
        assert_eq!(rotation.step(at(100)), Some(RotationStep::Tell));
        rotation.told(at(100));
        assert_eq!((rotation.next_due(), rotation.step(at(500))), (None, None));

        rotation.claimed(claim(1, 300));
        let id = ClaimId::from_bytes([1; 16]);
        assert!(rotation.is_held_by(&id, at(299)) && !rotation.is_held_by(&id, at(300)));
        assert!(!rotation.is_held_by(&ClaimId::from_bytes([2; 16]), at(200)));
        assert!(!rotation.is_claimable(at(299)) && rotation.is_claimable(at(300)));
        assert_eq!((rotation.step(at(299)), rotation.step(at(300))), (None, Some(RotationStep::Tell)));
        rotation.told(at(300));
        assert_eq!(rotation.claim, None);

        rotation.claimed(claim(2, 900));
        rotation.released();
        assert_eq!((rotation.claim.is_none(), rotation.step(at(400))), (true, Some(RotationStep::Tell)));
        rotation.finished(at(450));
        assert_eq!(rotation, Rotation::new(policy(), at(450)));
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_six_hours() {
        let mut rotation = Rotation::new(policy(), at(0));
        for (attempt, waits) in
            [60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600].iter().enumerate()
        {
            rotation.claimed(claim(1, 10_000));
            rotation.failed(at(1000), "no", None);
            let failure = rotation.failure.clone().unwrap();
            assert_eq!(usize::try_from(failure.attempts).unwrap(), attempt + 1);
            assert_eq!((failure.retry_at, rotation.due_at()), (at(1000 + waits), Some(at(1000 + waits))));
        }
        rotation.failed(at(1000), &"é".repeat(600), Some(Duration::ZERO));
        assert_eq!(rotation.due_at(), Some(at(1000)));
        assert_eq!(rotation.failure.as_ref().unwrap().error.len(), 1024);
        rotation.failure.as_mut().unwrap().attempts = u32::MAX;
        rotation.failed(at(1000), &"€".repeat(600), None);
        let failure = rotation.failure.clone().unwrap();
        assert_eq!((failure.attempts, failure.retry_at), (u32::MAX, at(22_600)));
        assert_eq!(failure.error.len(), 1023);
    }

    #[test]
    fn a_rotation_with_a_generator_is_made_by_the_service() {
        let policy = RotationPolicy { generator: Some(Generator::Uuid), ..policy() };
        let mut rotation = Rotation::new(policy, at(0));
        assert_eq!(rotation.step(at(100)), Some(RotationStep::Rotate));
        assert_eq!((rotation.claimable_at(), rotation.is_claimable(at(200))), (None, false));
        rotation.failed(at(100), "no", None);
        assert_eq!((rotation.step(at(159)), rotation.step(at(160))), (None, Some(RotationStep::Rotate)));
        rotation.policy.paused = true;
        assert_eq!((rotation.next_due(), rotation.step(at(1000))), (None, None));
        assert_eq!(rotation.next_at, Some(at(100)), "what is planned is shown");
    }

    #[test]
    fn a_rotation_waits_for_its_window_also_where_the_service_was_down() {
        let window = Some(DailyWindow::parse("02:00-04:00").unwrap());
        let (two, day) = (2 * 3600, 24 * 3600);
        let policy = RotationPolicy { window, generator: Some(Generator::Uuid), ..policy() };
        let mut rotation = Rotation::new(policy, at(0));
        assert_eq!(rotation.next_at, Some(at(two)));
        assert_eq!(rotation.step(at(two)), Some(RotationStep::Rotate));
        assert_eq!(rotation.step(at(2 * two)), Some(RotationStep::Postpone));
        rotation.postponed(at(2 * two));
        assert_eq!((rotation.next_due(), rotation.step(at(2 * two))), (Some(at(day + two)), None));
        rotation.failed(at(day + 2 * two - 30), "no", None);
        assert_eq!(rotation.due_at(), Some(at(2 * day + two)), "a retry waits for a window too");
        rotation.policy.generator = None;
        assert!(!rotation.is_claimable(at(2 * day)) && rotation.is_claimable(at(2 * day + two)));
        assert!(!rotation.is_claimable(at(3 * day)), "its window is over");
    }

    #[test]
    fn a_rotation_that_no_worker_takes_in_its_window_is_due_in_the_next_one() {
        let window = Some(DailyWindow::parse("23:00-01:00").unwrap());
        let (hour, day) = (3600, 24 * 3600);
        let mut rotation = Rotation::new(RotationPolicy { window, ..policy() }, at(22 * hour));
        let opens = 23 * hour;
        assert_eq!(rotation.step(at(opens)), Some(RotationStep::Tell));
        rotation.told(at(opens));
        assert_eq!((rotation.next_due(), rotation.step(at(opens + hour))), (Some(at(day + hour)), None));
        assert_eq!(rotation.step(at(day + hour)), Some(RotationStep::Postpone));
        let mut late = rotation.clone();
        rotation.postponed(at(day + hour));
        assert_eq!((rotation.due_at(), rotation.due_told), (Some(at(day + opens)), false));
        // The service was down until the next window.
        assert_eq!(late.step(at(day + opens)), Some(RotationStep::Postpone));
        late.postponed(at(day + opens));
        assert_eq!(
            (late.due_at(), late.step(at(day + opens))),
            (Some(at(day + opens)), Some(RotationStep::Tell))
        );
        // A worker that holds it when the window closes has its time.
        late.told(at(day + opens));
        let expires_at = at(2 * day + 2 * hour);
        late.claimed(Claim { id: ClaimId::from_bytes([1; 16]), principal: "key:a".into(), expires_at });
        assert_eq!(late.step(at(2 * day + hour)), None);
        assert_eq!(late.step(expires_at), Some(RotationStep::Postpone));
    }

    #[test]
    fn another_policy_plans_anew_only_where_its_times_are_others() {
        let mut rotation = Rotation::new(policy(), at(0));
        rotation.told(at(100));
        rotation.failed(at(100), "no", None);
        rotation.claimed(claim(1, 300));
        let paused = rotation.with_policy(RotationPolicy { paused: true, ..policy() }, at(150));
        assert_eq!((paused.next_at, paused.failure.clone()), (Some(at(100)), None));
        let resumed = paused.with_policy(policy(), at(160));
        assert_eq!((resumed.next_at, resumed.claim.clone()), (Some(at(100)), rotation.claim.clone()));
        assert_eq!(rotation.with_policy(policy(), at(170)), rotation);
        let longer = RotationPolicy { interval: Some(Duration::from_secs(1000)), ..policy() };
        assert_eq!(rotation.with_policy(longer, at(170)).next_at, Some(at(1170)));
        let on_request = RotationPolicy { interval: None, ..policy() };
        assert_eq!(rotation.with_policy(on_request, at(170)).next_at, None);
        let endless = RotationPolicy { interval: Some(Duration::MAX), ..policy() };
        assert_eq!(Rotation::new(endless, at(0)).next_at, Some(Timestamp::from_micros(i64::MAX)));
    }

    #[test]
    fn the_id_of_a_claim_is_not_shown() {
        assert!(!format!("{:?}", claim(77, 0)).contains("77"));
    }
}

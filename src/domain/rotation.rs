//! When and how a secret is rotated: its policy, and how far the next rotation has come.

use std::time::Duration;

use super::{Generator, Invalid, Timestamp};

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
    /// Random bytes that only the worker was told.
    pub id: [u8; 16],
    /// The principal of the worker, as text.
    pub principal: Box<str>,
    /// When its lease runs out.
    pub expires_at: Timestamp,
}

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

const MINUTES_OF_DAY: u16 = 24 * 60;

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
        const MINUTE: i64 = 60_000_000;
        const DAY: i64 = MINUTE * MINUTES_OF_DAY as i64;
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
}

/// `02:00-04:00`.
impl std::fmt::Display for DailyWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
}

//! Points in time, and the only place where the service reads the clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::{NoContext, Uuid};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last time that `google.protobuf.Timestamp` has.
    const LAST: Self = Self(253_402_300_799_999_999);

    /// The time that many microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This time if it is later than `earlier`, or else the microsecond after `earlier`. So the times of one secret always
    /// advance, even where the clock stands still or goes back.
    pub fn after(self, earlier: Self) -> Self {
        Self(self.0.max(earlier.0.saturating_add(1)))
    }

    /// This time plus a duration; the last representable time where that overflows.
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// This time minus a duration; the first representable time where that overflows.
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// The time from this time until a later one; none where that is not later.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// A time of the system, such as that of a file. Times before 1970 become its beginning, and times after the year 9999 its end: no
/// message has later ones.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(0).plus(time.duration_since(UNIX_EPOCH).unwrap_or_default()).min(Self::LAST)
    }
}

/// The time in the form of RFC 3339: in UTC, always with six decimals.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: i64 = 24 * 60 * 60;
        let (seconds, micros) = (self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000));
        let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (year, month, day) = date(day);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// Year, month and day of a day, given as the number of days since 1970-01-01, in the Gregorian calendar. The algorithm
/// counts in years that begin with March, so that a leap day is the last day of its year (`civil_from_days` in Howard
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(day: i64) -> (i64, i64, i64) {
    // Days since 0000-03-01, split into eras of 400 years, all of which have the same number of days.
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day)
}

/// The current time. Nothing else in the service reads the system clock.
pub fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A new id: a UUID of version 7, which begins with the time. Whatever the clock says, there is one.
pub fn new_id() -> Uuid {
    id_at(SystemTime::now())
}

fn id_at(time: SystemTime) -> Uuid {
    let at = Timestamp::from(time);
    let is_in_range = time >= UNIX_EPOCH && at < Timestamp::LAST;
    if is_in_range {
        // In order also within one millisecond.
        return Uuid::now_v7();
    }
    let since = Duration::from_micros(at.0.unsigned_abs());
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos()))
}

/// The clock by which secrets change, expire and are due: the system's. A test can move it. All clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// How many microseconds it is ahead of the system's clock.
    #[cfg(test)]
    ahead: std::sync::Arc<std::sync::atomic::AtomicI64>,
}

impl Clock {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        #[cfg(test)]
        let ahead = self.ahead.load(std::sync::atomic::Ordering::Relaxed);
        #[cfg(not(test))]
        let ahead = 0;
        Timestamp(now().0.saturating_add(ahead))
    }

    /// Moves the clock forward.
    #[cfg(test)]
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap();
        self.ahead.fetch_add(micros, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_advances_when_the_clock_stands_or_goes_back() {
        let then = Timestamp::from_micros(1_000);
        assert_eq!(Timestamp::from_micros(5).after(then), Timestamp::from_micros(1_001));
        assert_eq!(then.after(then), Timestamp::from_micros(1_001));
        assert_eq!(Timestamp::from_micros(2_000).after(then), Timestamp::from_micros(2_000));
    }

    #[test]
    fn a_time_that_has_passed_is_no_time_away() {
        let at = Timestamp::from_micros;
        assert_eq!(at(5).until(at(8)), Duration::from_micros(3));
        assert_eq!(at(8).until(at(5)), Duration::ZERO);
        assert_eq!(at(i64::MIN).until(at(i64::MAX)), Duration::from_micros(i64::MAX.unsigned_abs()));
    }

    #[test]
    fn a_clock_that_is_far_off_counts_as_the_nearest_time_and_makes_ids() {
        let day = Duration::from_secs(24 * 60 * 60);
        let far = UNIX_EPOCH + day * 366 * 20_000;
        for (time, expected) in [(UNIX_EPOCH - day, Timestamp(0)), (far, Timestamp::LAST)] {
            assert_eq!(Timestamp::from(time), expected);
            let id = id_at(time);
            assert_eq!(id.get_version_num(), 7);
            assert_ne!(id, id_at(time));
        }
        assert!(id_at(UNIX_EPOCH + day) < id_at(UNIX_EPOCH + day));
    }

    #[test]
    fn a_time_as_text_is_its_date_and_time_of_day() {
        let known = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_399_000_001, "2000-02-28T23:59:59.000001Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_764_007_876_120_000, "2025-11-24T18:11:16.120000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ];
        for (micros, text) in known {
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
        }
    }
}

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time that many microseconds after 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This time, or the first one after `earlier` where the clock has not moved on or went back.
    pub fn after(self, earlier: Self) -> Self {
        Self(self.0.max(earlier.0.saturating_add(1)))
    }

    /// This time and a duration; the last time there is where that would overflow.
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// The present time. The only place where the service reads a clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(0).plus(since)
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
}

//! Times as arguments: a moment, how long ago it was or how far ahead it is, and a length of time.

use std::time::SystemTime;

use prost_types::{Duration, Timestamp};

use crate::config::parse_duration;
use crate::domain::now;

/// A time, or how long ago it was.
pub(super) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    if let Ok(ago) = parse_duration(text) {
        let micros = now().as_micros().saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX));
        return Ok(Timestamp { seconds: micros.div_euclid(1_000_000), nanos: 0 });
    }
    let at: SystemTime = humantime::parse_rfc3339_weak(text)
        .map_err(|_| "expected a time such as 2026-01-31T12:00:00Z, or how long ago it was, such as 2h")?;
    Ok(Timestamp::from(at))
}

/// A time, or how far ahead it is.
pub(super) fn ahead(text: &str) -> Result<Timestamp, &'static str> {
    if let Ok(ahead) = parse_duration(text) {
        let micros = now().plus(ahead).as_micros();
        let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
        return Ok(Timestamp { seconds: micros.div_euclid(1_000_000), nanos });
    }
    let at: SystemTime = humantime::parse_rfc3339_weak(text)
        .map_err(|_| "expected a time such as 2030-01-31T12:00:00Z, or how far ahead it is, such as 30d")?;
    Ok(Timestamp::from(at))
}

/// A length of time, such as 90s, 15m, 24h or 30d.
pub(super) fn span(text: &str) -> Result<Duration, &'static str> {
    let given =
        parse_duration(text).map_err(|_| "expected a number and a unit, such as 90s, 15m, 24h or 30d")?;
    Duration::try_from(given).map_err(|_| "the time is too long")
}

/// A length of time for people, such as `1day 12h`; empty if there is none.
pub(super) fn shown(span: Option<&Duration>) -> String {
    let span = span.and_then(|span| std::time::Duration::try_from(*span).ok());
    span.map(|span| humantime::format_duration(span).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units() {
        for (text, seconds, again) in [
            ("90s", 90, "1m 30s"),
            ("15m", 900, "15m"),
            ("24h", 86_400, "1day"),
            ("30d", 2_592_000, "30days"),
        ] {
            let read = span(text).unwrap();
            assert_eq!((read.seconds, read.nanos), (seconds, 0), "{text}");
            assert_eq!(shown(Some(&read)), again);
        }
        for text in ["", "30", "-1h", "soon", "1x"] {
            assert!(span(text).is_err(), "{text}");
        }
        assert_eq!(shown(None), "");
    }

    #[test]
    fn a_time_ahead_is_a_moment_or_counted_from_now() {
        assert_eq!(ahead("2030-01-31T12:00:00Z").unwrap().seconds, 1_896_091_200);
        let (in_an_hour, now) = (ahead("1h").unwrap().seconds, now().as_micros().div_euclid(1_000_000));
        assert!((3_599..=3_660).contains(&(in_an_hour - now)));
        assert!(ahead("tomorrow").is_err());
    }
}

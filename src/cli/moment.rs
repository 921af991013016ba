//! Times as arguments: a moment, how long ago it was or how far ahead it is, and a length of time.

use prost_types::{Duration, Timestamp};

use crate::config::parse_duration;
use crate::domain::now;

/// A time, or how long ago it was.
pub(super) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    if let Ok(ago) = parse_duration(text) {
        let micros = now().as_micros().saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX));
        return Ok(Timestamp { seconds: micros.div_euclid(1_000_000), nanos: 0 });
    }
    at(
        text,
        "expected a date such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or how long ago it was, such as 2h",
    )
}

/// A time, or how far ahead it is.
pub(super) fn ahead(text: &str) -> Result<Timestamp, &'static str> {
    if let Ok(ahead) = parse_duration(text) {
        let micros = now().plus(ahead).as_micros();
        let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
        return Ok(Timestamp { seconds: micros.div_euclid(1_000_000), nanos });
    }
    at(
        text,
        "expected a date such as 2030-01-31, a time such as 2030-01-31T12:00:00Z, or how far ahead it is, such as 30d",
    )
}

/// A date or a time.
pub(super) fn date_or_time(text: &str) -> Result<Timestamp, &'static str> {
    at(text, "expected a date such as 2030-01-31, or a time such as 2030-01-31T12:00:00Z")
}

/// A date, which is its midnight in UTC, or a time with Z or an offset. Without them a time could be meant for any place.
fn at(text: &str, expected: &'static str) -> Result<Timestamp, &'static str> {
    // The parser takes a time without an offset for UTC, and also knows years of other lengths.
    let (date, time) = text.split_at_checked(10).ok_or(expected)?;
    let read: Timestamp = text.parse().map_err(|_| expected)?;
    let has_zone = time.is_empty() || time.ends_with(['Z', 'z']) || time.contains(['+', '-']);
    if !date.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(expected);
    }
    if !has_zone {
        return Err(
            "a time needs Z (UTC) or an offset at its end, such as 2030-01-31T12:00:00Z or 2030-01-31T12:00:00+02:00",
        );
    }
    Ok(read)
}

/// A length of time, such as 90s, 15m, 24h or 30d.
pub(super) fn span(text: &str) -> Result<Duration, &'static str> {
    let given =
        parse_duration(text).map_err(|_| "expected a number and a unit, such as 90s, 15m, 24h or 30d")?;
    Duration::try_from(given).map_err(|_| "the time is too long")
}

/// A length of time for people, such as `1day 12h`; empty if there is none. The days are not made months or years, which have no
/// length of their own.
pub(super) fn shown(span: Option<&Duration>) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let Some(span) = span.and_then(|span| std::time::Duration::try_from(*span).ok()) else {
        return String::new();
    };
    let days = span.as_secs() / DAY;
    let rest = span.saturating_sub(std::time::Duration::from_secs(days * DAY));
    let days_shown = match days {
        0 => None,
        1 => Some("1day".to_owned()),
        days => Some(format!("{days}days")),
    };
    let rest_shown = (days == 0 || !rest.is_zero()).then(|| humantime::format_duration(rest).to_string());
    days_shown.into_iter().chain(rest_shown).collect::<Vec<_>>().join(" ")
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
            ("36h", 129_600, "1day 12h"),
            ("366d", 31_622_400, "366days"),
        ] {
            let read = span(text).unwrap();
            assert_eq!((read.seconds, read.nanos), (seconds, 0), "{text}");
            assert_eq!(shown(Some(&read)), again);
        }
        for text in ["", "30", "-1h", "soon", "1x", "5M"] {
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

    #[test]
    fn a_date_is_midnight_in_utc_and_a_time_has_an_offset() {
        for (text, seconds) in [
            ("2027-03-01", 1_803_859_200),
            ("2027-03-01T00:00:00Z", 1_803_859_200),
            ("2027-03-01t00:00:00z", 1_803_859_200),
            ("2027-03-01T12:00:00+02:00", 1_803_859_200 + 10 * 3600),
            ("2027-03-01T12:00:00.5-09:30", 1_803_859_200 + 21 * 3600 + 1800),
            ("2027-03-01 12:00:00Z", 1_803_859_200 + 12 * 3600),
        ] {
            for read in [moment, ahead, date_or_time] {
                assert_eq!(read(text).map(|at| at.seconds), Ok(seconds), "{text}");
            }
        }
        for text in ["2027-03-01T12:00:00", "2027-03-01 12:00:00", "2027-03-01T12:00:00.25"] {
            assert!(moment(text).unwrap_err().contains("Z (UTC) or an offset"), "{text}");
        }
        for text in [
            "2027-02-29",
            "2027-13-01",
            "2027-3-1",
            "2027-03",
            "+12027-03-01",
            "-2027-03-01",
            "2027-03-01T",
            "2027-03-01T12:00Z",
            "2027-03-01T25:00:00Z",
            "2027-03-01Z",
            "2027-03-01T12:00:00+02:00 x",
            "２027-03-01",
            "",
        ] {
            assert!(moment(text).unwrap_err().starts_with("expected"), "{text}");
        }
    }
}

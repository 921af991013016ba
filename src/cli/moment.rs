//! A time as an argument: a moment, or how long ago it was.

use std::time::SystemTime;

use prost_types::Timestamp;

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

//! Numbers as people read them.

use std::time::Duration;

/// Of microseconds: `85 µs`, `1.2 ms`, `3 s`.
pub fn time(micros: f64) -> String {
    match micros {
        ..1e3 => format!("{} µs", digits(micros)),
        ..1e6 => format!("{} ms", digits(micros / 1e3)),
        _ => format!("{} s", digits(micros / 1e6)),
    }
}

pub fn duration(time: Duration) -> String {
    self::time(time.as_micros() as f64)
}

/// `850`, `1.2k`, `10k`, `1M`.
pub fn count(number: f64) -> String {
    match number {
        ..1e3 => digits(number),
        ..1e6 => digits(number / 1e3) + "k",
        _ => digits(number / 1e6) + "M",
    }
}

pub fn percent(number: f64) -> String {
    format!("{number:.0} %")
}

/// A number below 1,000 with three digits at most.
fn digits(number: f64) -> String {
    let text = match number {
        ..9.995 => format!("{number:.2}"),
        ..99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

//! The log for a person at a terminal: one short line for each event.
//!
//! A request is one line that says what was asked for, how it ended and who asked; the other fields of its record are in the
//! audit log, and in the log as text or JSON. Nothing in a line can control the terminal.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::AUDIT;
use crate::domain::{Timestamp, now};

/// Writes events as short lines.
pub(super) struct ShortLines;

impl<S, N> FormatEvent<S, N> for ShortLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let colours = to.has_ansi_escapes();
        let style = |code: &'static str| if colours { code } else { "" };
        let (dim, plain) = (style("\x1b[2m"), style("\x1b[0m"));
        write!(to, "{dim}{}{plain} ", time_of_day(now()))?;
        let level = *event.metadata().level();
        if level != Level::INFO {
            let colour = if level == Level::ERROR { style("\x1b[31m") } else { style("\x1b[33m") };
            write!(to, "{colour}{}{plain} ", level.as_str().to_lowercase())?;
        }
        match fields.request(event.metadata().target()) {
            Some((line, false)) => writeln!(to, "{}{line}{plain}", style("\x1b[33m")),
            Some((line, true)) => writeln!(to, "{line}"),
            None => writeln!(to, "{}", fields.line()),
        }
    }
}

/// The fields of an event, as text.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, text: &dyn fmt::Display) {
        let text = printable(&text.to_string());
        match field.name() {
            "message" => self.message = text,
            name => self.others.push((name, text)),
        }
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(field, _)| *field == name).map(|(_, text)| text.as_str())
    }

    /// The line of a request, and whether it succeeded; `None` where the event is about no request.
    fn request(&self, target: &str) -> Option<(String, bool)> {
        let rpc = self.find("rpc").filter(|_| target == AUDIT)?;
        let outcome = self.find("outcome").unwrap_or_default();
        let method = rpc.rsplit('/').next().unwrap_or(rpc);
        let object = match (self.find("namespace"), self.find("name")) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (Some(namespace), None) => namespace.to_owned(),
            (None, name) => name.or(self.find("subject")).unwrap_or_default().to_owned(),
        };
        let refusals = self.find("refusals").map(|number| format!("{number} refusals"));
        let who = self.find("principal").or(self.find("peer")).unwrap_or_default();
        let parts = [
            method,
            &object,
            outcome,
            self.find("reason").unwrap_or_default(),
            &refusals.unwrap_or_default(),
            who,
        ];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Some((parts.join("  "), outcome == "ok"))
    }

    fn line(&self) -> String {
        let mut line = self.message.clone();
        for (name, text) in &self.others {
            let _ = write!(line, "  {name}={text}"); // writing to a String cannot fail
        }
        line
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format_args!("{value:?}"));
    }
}

/// The time of the day (UTC), to the second.
fn time_of_day(at: Timestamp) -> String {
    let seconds = at.as_micros().div_euclid(1_000_000).rem_euclid(24 * 60 * 60);
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The text with its control characters, and those that change the direction of writing, as escapes.
fn printable(text: &str) -> String {
    let controls = |c: char| {
        c.is_control()
            || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().flat_map(|c| if controls(c) { c.escape_unicode().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;
    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What these events write, without the time.
    fn written(events: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer =
            fmt::layer().with_writer(move || writer.clone()).with_ansi(false).event_format(ShortLines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line["00:00:00Z ".len()..].to_owned()).collect()
    }

    #[test]
    fn a_request_is_one_short_line() {
        let lines = written(|| {
            tracing::info!(
                target: AUDIT,
                principal = "key:abc",
                peer = %"127.0.0.1:5",
                rpc = %"strongroom.v1.SecretService/GetSecret",
                namespace = %"team/ci",
                name = %"A",
                version = 3,
                outcome = %"NOT_FOUND",
                reason = "SECRET_NOT_FOUND",
                request_id = %"01a227c4",
                caller_request_id = "x\n00:00:00Z GetSecret  ok  key:other",
                "audit"
            );
            tracing::info!(
                target: AUDIT,
                peer = %"127.0.0.1",
                rpc = %"several",
                outcome = %"UNAUTHENTICATED",
                reason = "CREDENTIAL_MISSING",
                refusals = 7,
                "audit"
            );
        });
        assert_eq!(
            lines,
            [
                "GetSecret  team/ci/A  NOT_FOUND  SECRET_NOT_FOUND  key:abc",
                "several  UNAUTHENTICATED  CREDENTIAL_MISSING  7 refusals  127.0.0.1",
            ]
        );
    }

    #[test]
    fn other_events_say_how_serious_they_are_and_cannot_control_the_terminal() {
        let lines = written(|| {
            tracing::info!(tls = false, "serving");
            tracing::warn!(cause = "a\u{1b}[2J\nb\u{202e}", "it failed");
        });
        assert_eq!(lines, ["serving  tls=false", r"warn it failed  cause=a\u{1b}[2J\u{a}b\u{202e}"]);
    }

    #[test]
    fn the_time_is_that_of_the_day() {
        assert_eq!(time_of_day(Timestamp::from_micros((86_400 * 3 + 3_723) * 1_000_000)), "01:02:03Z");
    }
}

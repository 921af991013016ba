//! Audit records as JSON, in the form that tracing's own formatter gives them. There is one for each request, so a record is written
//! field by field, where that formatter makes a tree of values first.

use std::fmt::{self, Write};
use std::io;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as JSON, one in each line, without the spans that they are in.
pub(super) struct JsonRecords;

impl<S, N> FormatEvent<S, N> for JsonRecords
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        to.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut to)?;
        write!(to, "\",\"level\":\"{}\",\"fields\":", metadata.level())?;
        let mut fields = Fields { to, before: '{', text: String::new(), written: Ok(()) };
        event.record(&mut fields);
        let Fields { mut to, written, .. } = fields;
        written?;
        writeln!(to, "}},\"target\":\"{}\"}}", metadata.target())
    }
}

/// Writes the fields of an event, of which there is one at least.
struct Fields<'a> {
    to: Writer<'a>,
    /// What stands before the next field.
    before: char,
    /// The text of a field that has to be formatted first.
    text: String,
    written: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: impl Serialize) {
        let written = self.written.and_then(|()| {
            write!(self.to, "{}\"{}\":", self.before, field.name())?;
            serde_json::to_writer(Bytes(&mut self.to), &value).map_err(|_| fmt::Error)
        });
        (self.before, self.written) = (',', written);
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let formatted = write!(text, "{value:?}");
        self.written = self.written.and(formatted);
        self.write(field, &*text);
        self.text = text;
    }
}

/// The bytes of JSON, which are text.
struct Bytes<'a, 'b>(&'a mut Writer<'b>);

impl io::Write for Bytes<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::fmt;
    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_record_has_the_form_that_tracing_gives_it() {
        let (own, theirs) = (Log::default(), Log::default());
        let to = |log: &Log| {
            let log = log.clone();
            move || log.clone()
        };
        let layers = tracing_subscriber::registry()
            .with(fmt::layer().json().event_format(JsonRecords).with_writer(to(&own)))
            .with(
                fmt::layer().json().with_span_list(false).with_current_span(false).with_writer(to(&theirs)),
            );
        tracing::subscriber::with_default(layers, || {
            let absent: Option<&str> = None;
            tracing::info!(
                target: "strongroom::audit",
                principal = "key:\"a\"\\\u{1}\n\u{7f}ü",
                peer = %"[::1]:5",
                version = 7_u32,
                negative = -7_i32,
                flag = true,
                absent,
                "audit"
            );
            tracing::warn!(target: "strongroom::audit", "a message alone: {}", "\u{1b}[31m\"");
        });
        let lines = |log: &Log| -> Vec<Value> {
            let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(text.ends_with('\n'));
            let mut lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for line in &mut lines {
                let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
                assert_eq!(time.as_str().unwrap().len(), "2026-12-01T08:00:00.000000Z".len());
            }
            lines
        };
        assert_eq!(lines(&own).len(), 2);
        assert_eq!(lines(&own), lines(&theirs));
    }
}

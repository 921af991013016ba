//! What the process tells of itself: its log, and in `traces` its spans for OpenTelemetry.
//!
//! The log goes to standard error: short lines on a terminal, one JSON object for each line elsewhere.
//!
//! The log level applies to Strongroom's own events. Events of libraries are logged at the level warn or above, whatever
//! the log level: at finer levels libraries log bytes of requests, which must never be in a log. The command `serve` starts
//! the log, and the audit waits here until its records are written.

mod json_records;
mod outlet;
mod priority;
mod queue;
mod terminal;
pub mod traces;
mod writer;

use std::io::IsTerminal;
use std::sync::OnceLock;

use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use self::json_records::JsonRecords;
pub use self::outlet::{Outlet, Receipts, Sink, Written, after_ready_tasks, may_write};
pub use self::priority::lower_priority;
pub use self::queue::{Batch, Next, Queue};
use self::terminal::ShortLines;
use self::writer::{LogWriter, StandardError};
use crate::config::{AuditStderr, LogFormat, LogLevel};

/// The log target of audit records, which are written at every log level.
pub const AUDIT: &str = "strongroom::audit";

/// The writer of this process's log; empty until the log is started.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Starts the log, and sends panics there. Only the first call in a process has an effect. Fails where the system cannot
/// start a thread.
///
/// `audit` is the form of the audit's records.
pub fn start(format: LogFormat, level: LogLevel, audit: AuditStderr) -> std::io::Result<()> {
    let writer = LogWriter::start(StandardError::new(), |lost| {
        tracing::warn!(lost, "lines of the log were lost: its reader is too slow");
    })?;
    if WRITER.set(writer.clone()).is_err() {
        return Ok(());
    }
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let shown = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("strongroom", level)
        .with_target(AUDIT, LevelFilter::OFF);
    let records = Targets::new().with_target(AUDIT, LevelFilter::INFO.max(level));
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let json_records = match audit {
        AuditStderr::Auto | AuditStderr::Off => json,
        AuditStderr::Text => false,
        AuditStderr::Json => true,
    };
    // A person at a terminal, who has asked for no other form.
    let short = format == LogFormat::Auto;
    let short_records = short && audit == AuditStderr::Auto;
    let layer = || fmt::layer().with_writer(writer.clone()).with_ansi(terminal);
    let events = match (json, short) {
        (true, _) => layer().json().with_span_list(false).with_filter(shown).boxed(),
        (false, true) => layer().event_format(ShortLines).with_filter(shown).boxed(),
        (false, false) => layer().with_filter(shown).boxed(),
    };
    let records = match (json_records, short_records) {
        (true, _) => layer().event_format(JsonRecords).with_filter(records).boxed(),
        (false, true) => layer().event_format(ShortLines).with_filter(records).boxed(),
        (false, false) => layer().with_filter(records).boxed(),
    };
    let layers = vec![events, records];
    // If something else in the process started a log before, that one stays.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    std::panic::set_hook(Box::new(|panic| {
        // Without the panic's message, which can quote data of a request.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked at {place}");
    }));
    Ok(())
}

/// Waits until all events so far are written, for at most 5 seconds. For the end of the process.
pub async fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush().await;
    }
}

/// Calls `event`, which logs the record of an owner, and waits until that is written, for at most 5 seconds. `false`: it may
/// not have been written. Each owner has its share of the room for records, which ordinary events cannot take. Where this
/// process has no log, there is nothing to wait for, and the result is `true`.
pub async fn written(owner: &str, event: impl FnOnce()) -> bool {
    match WRITER.get() {
        Some(writer) => writer.written(owner, event).await,
        None => {
            event();
            true
        }
    }
}

/// Calls `event`, which logs the record of an owner. The receiver is told whether that was written. `Err`: there is no room for
/// it. `Ok(None)`: this process has no log, and there is nothing to wait for. The caller calls [`write_waiting`] or [`wake`] after
/// that.
pub fn add(owner: &str, event: impl FnOnce()) -> Result<Option<oneshot::Receiver<bool>>, Full> {
    match WRITER.get() {
        Some(writer) => writer.add(owner, event).ok_or(Full).map(Some),
        None => {
            event();
            Ok(None)
        }
    }
}

/// The log has no room for a record.
#[derive(Debug, Clone, Copy)]
pub struct Full;

/// Writes the records that wait, in this thread, where that is quick. See [`Outlet::write_waiting`].
pub fn write_waiting() -> Receipts {
    WRITER.get().map(LogWriter::write_waiting).unwrap_or_default()
}

/// Leaves the records that wait to the log's thread.
pub fn wake() {
    if let Some(writer) = WRITER.get() {
        writer.wake();
    }
}

/// Calls `event`, which logs something that may be dropped. `false`: it was dropped, because the log has no room for it now.
pub fn offer(event: impl FnOnce()) -> bool {
    match WRITER.get() {
        Some(writer) => writer.offer(event),
        None => {
            event();
            true
        }
    }
}

//! The process's log: text on a terminal, a JSON object a line elsewhere, always on standard error.
//!
//! Only Strongroom's own events can be made more detailed. Those of libraries stay at warnings: what they say about a
//! request's bytes at finer levels must never be in a log.

mod writer;

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use self::writer::LogWriter;
use crate::config::{LogFormat, LogLevel};

/// The log target of audit records. Whatever the level, they are written.
pub const AUDIT: &str = "strongroom::audit";

/// What writes this process's log, once it was started.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Starts the log, and has panics go there. Only the first call of a process has an effect.
pub fn start(format: LogFormat, level: LogLevel) -> std::io::Result<()> {
    let writer = LogWriter::start(std::io::stderr())?;
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
        .with_target(AUDIT, LevelFilter::INFO.max(level));
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let layer = fmt::layer().with_writer(writer).with_ansi(terminal);
    let registry = tracing_subscriber::registry();
    // Where something else in the process has started a log already, that one stays.
    let _ = if json {
        registry.with(layer.json().with_span_list(false).with_filter(shown)).try_init()
    } else {
        registry.with(layer.with_filter(shown)).try_init()
    };
    std::panic::set_hook(Box::new(|panicked| {
        // Not its message: that can quote what the service works on.
        let place = panicked.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked at {place}");
    }));
    Ok(())
}

/// Waits until all events so far are in the log, within a bound. For the end of the process.
pub async fn flush() {
    let _ = written(|| ()).await; // there is nowhere left to say that it failed
}

/// Does what writes an event, and waits until it is in the log. False: it is not. Without a log of this process there is
/// nothing to wait for.
pub async fn written(event: impl FnOnce()) -> bool {
    match WRITER.get() {
        Some(writer) => writer.written(event).await,
        None => {
            event();
            true
        }
    }
}

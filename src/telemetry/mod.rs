//! The process's log: text on a terminal, a JSON object a line elsewhere, always on standard error.
//!
//! Only Strongroom's own events can be made more detailed. Those of libraries stay at warnings: what they say about a
//! request's bytes at finer levels must never be in a log.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::audit;
use crate::config::{LogFormat, LogLevel};

/// Starts the log. Only the first call of a process has an effect.
pub fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Whatever the level, every audit record is written.
    let shown = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("strongroom", level)
        .with_target(audit::TARGET, LevelFilter::INFO.max(level));
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    let registry = tracing_subscriber::registry();
    // A second start, as in tests, keeps the first log.
    let _ = if json {
        registry.with(layer.json().with_filter(shown)).try_init()
    } else {
        registry.with(layer.with_filter(shown)).try_init()
    };
}

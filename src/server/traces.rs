//! The traces of requests, where the settings name a collector.

use std::sync::Arc;

use super::error::ServeError;
use crate::config::Otlp;
use crate::telemetry::traces::{Exporting, Traces};

/// Starts to send traces; `None`: the settings name no collector.
pub(super) fn start(otlp: Option<&Otlp>) -> Result<Option<(Arc<Traces>, Exporting)>, ServeError> {
    let Some(otlp) = otlp else { return Ok(None) };
    let started = Traces::start(otlp)?;
    tracing::info!(collector = otlp.endpoint, ratio = otlp.sample_ratio, "traces of requests are sent");
    if !otlp.tls && !otlp.loopback {
        tracing::warn!(
            collector = otlp.endpoint,
            "traces are sent without encryption to an address outside of this machine: they tell which RPCs are called, when, and \
             how they end, though no name. Give an https:// address in --otlp-endpoint, or that of a collector on this machine"
        );
    }
    Ok(Some(started))
}

/// Sends the spans that wait, for a short time.
pub(super) async fn finish(exporting: Option<Exporting>) {
    if let Some(exporting) = exporting {
        exporting.finish().await;
    }
}

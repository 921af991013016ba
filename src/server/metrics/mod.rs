//! Metrics for Prometheus: what the parts of the server measure of themselves, as text over HTTP, and whether the server lives and
//! is ready. Anyone who reaches the address may read it, so it has numbers only: no value, no credential, no name.

mod http;
mod process;
mod text;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::net::TcpListener;

use self::process::ProcessReading;
use super::background::SweepMetrics;
use super::error::ServeError;
use super::places::Places;
use crate::api::{InFlight, RequestMetrics, RpcReading};
use crate::app::{App, Readiness, ReadyState, SchedulerMetrics, ServiceMetrics};
use crate::domain::{Timestamp, now};
use crate::integrity::audit_log::LogMetrics;
use crate::limits::LimitUse;
use crate::telemetry::traces::{SpansRead, Traces};

/// Listens on the address for metrics.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let failed = |error| ServeError::Listen(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "metrics, /livez and /readyz are served");
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "metrics are served without encryption and without a credential on an address that others on the network can reach: \
             they tell how many secrets there are and what is called, though no name. Give a loopback address in --metrics-listen, \
             or let only your monitoring reach this one"
        );
    }
    Ok(listener)
}

/// Answers on the address for metrics until this is dropped.
pub(super) async fn serve(listener: TcpListener, sources: Arc<Sources>) {
    http::serve(listener, sources).await;
}

/// Where the measurements come from.
pub(super) struct Sources {
    pub(super) data_dir: PathBuf,
    pub(super) started_at: Timestamp,
    pub(super) readiness: Readiness,
    pub(super) requests: Arc<RequestMetrics>,
    /// `None`: requests are not traced.
    pub(super) traces: Option<Arc<Traces>>,
    pub(super) in_flight: InFlight,
    pub(super) places: Arc<Places>,
    pub(super) sweeps: Arc<SweepMetrics>,
    /// The service; empty while it is loaded.
    pub(super) app: OnceLock<Arc<App>>,
}

/// All measurements of a moment.
struct Reading {
    started_at: Timestamp,
    now: Timestamp,
    ready: ReadyState,
    rpcs: Vec<RpcReading>,
    shed: u64,
    overload: u64,
    spans: SpansRead,
    in_flight: usize,
    connections: Vec<LimitUse>,
    accepted: u64,
    closed: Vec<(&'static str, u64)>,
    process: ProcessReading,
    /// The free room and the size of the disk of the data folder.
    disk: Option<(u64, u64)>,
    swept: [(&'static str, u64); 2],
    service: Option<ServiceReading>,
}

/// The measurements of a service that is loaded.
struct ServiceReading {
    metrics: ServiceMetrics,
    audit_log: Option<LogMetrics>,
    app: Arc<App>,
}

impl ServiceReading {
    fn scheduled(&self) -> &SchedulerMetrics {
        &self.app.scheduled
    }
}

impl Sources {
    /// All measurements as text.
    async fn text(&self) -> String {
        let service = match self.app.get() {
            Some(app) => Some(ServiceReading {
                metrics: app.metrics().await,
                audit_log: app.audit.metrics(),
                app: app.clone(),
            }),
            None => None,
        };
        text::of(Reading {
            started_at: self.started_at,
            now: now(),
            ready: self.readiness.state(),
            rpcs: self.requests.read(),
            shed: self.requests.shed(),
            overload: self.requests.overload(),
            spans: self.traces.as_ref().map(|traces| traces.read()).unwrap_or_default(),
            in_flight: self.in_flight.count(),
            connections: self.places.usage(),
            accepted: self.places.accepted(),
            closed: self.places.closings.read().into(),
            process: process::read(),
            disk: process::room(&self.data_dir),
            swept: self.sweeps.read(),
            service,
        })
    }
}

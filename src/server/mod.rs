//! The composition root: from a configuration to a service that listens, and to its orderly end.

mod audit_log;
mod background;
mod closings;
mod connection;
mod data_dir;
mod drain;
mod error;
mod exchange;
mod frames;
mod health;
mod key_fetch;
mod listen;
mod metrics;
mod parts;
mod places;
mod received;
mod recover;
mod reload;
mod reply;
mod resets;
mod shedding;
mod socket;
mod tls;
mod traces;
mod windows;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic_health::pb::health_server::HealthServer;

use self::connection::Serving;
pub use self::data_dir::DataDirError;
use self::drain::drain;
pub use self::error::ServeError;
use self::health::Health;
use self::parts::{Bound, Loaded};
use self::places::Places;
pub use self::recover::{RecoverError, Recovered, recover};
use self::reload::reload_when_asked;
use crate::api::{self, Collected, Gate, Gated, InFlight, RequestMetrics, Services};
use crate::app::{App, Readiness, UnreadyCause};
use crate::audit::{LogAuditor, Names};
use crate::catalog;
use crate::config::{AuditNames, AuditStderr, Config, MasterKeySource};
use crate::domain::now;
use crate::integrity::audit_log::AuditLog;
use crate::telemetry::traces::Traces;

/// The largest message to health and reflection, in bytes. Anyone may call those, and the buffer of a message is
/// reserved as soon as its length is announced.
const MAX_OPEN_MESSAGE: usize = 4096;

/// A server that has begun to serve.
pub struct Ready {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The source of the master key.
    pub master_key: MasterKeySource,
    /// The file of the first API key; `None` where there is none here, or the key is not in force.
    pub root_key: Option<PathBuf>,
    /// Whether this was the first start, which made the keys.
    pub first_start: bool,
}

/// Serves until `shutdown` ends, and then until the requests in flight are answered, within a bound. Calls `announce`
/// once requests are accepted. Reads certificates, client authorities and issuers' keys again at each message of `reload`.
///
/// The addresses answer from the beginning: until the store is loaded, health says so, and requests are refused.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
    reload: mpsc::Receiver<()>,
    announce: impl FnOnce(&Ready),
) -> Result<(), ServeError> {
    let mut shutdown = Box::pin(shutdown);
    let Bound { data, sources, quotas, tls, listener, address, metrics } = parts::bind(&config).await?;
    let (traces, exporting) = traces::start(config.otlp.as_ref())?.unzip();
    let front = Front::new(&config, traces)?;
    let (stopping, stop) = watch::channel(false);
    let (gated, age, limits) = (front.gated.clone(), config.connection_age, config.limits);
    let serving = Serving { gated, tls: tls.clone(), sources: sources.clone(), age, limits };
    let mut serving = tokio::spawn(listen::serve(listener, serving, front.sources.places.clone(), stop));
    let mut measuring = JoinSet::new(); // ends when it is dropped
    measuring.extend(metrics.map(|listener| metrics::serve(listener, front.sources.clone())));

    let readiness = front.sources.readiness.clone();
    let loaded = tokio::select! {
        loaded = parts::load(&config, &data, sources.clone(), quotas, readiness, address) => loaded?,
        () = &mut shutdown => return Ok(()),
    };
    let Loaded { app, audit_log, ready } = loaded;
    let auditor = front.open(&app, &audit_log, &config);
    tracing::info!(%address, tls = ready.tls, store = config.store.name(), "serving");
    announce(&ready);

    let mut background = background::start(&app, &auditor, &front.sources.sweeps);
    key_fetch::start(sources.issuers(), &mut background);
    background.spawn(reload_when_asked(reload, tls, sources));
    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = shutdown => None,
    };
    background.abort_all();
    let outcome = match ended {
        Some(_) => Err(ServeError::Ended),
        None => {
            tracing::info!("stopping: requests in flight are answered, new ones are refused");
            front.sources.readiness.note(UnreadyCause::Stopping, Some(String::new()));
            stopping.send_replace(true);
            app.watches.end();
            drain(&mut serving, &front.sources.in_flight).await;
            Ok(())
        }
    };
    auditor.write_refusals();
    tokio::join!(app.close(), traces::finish(exporting));
    let _ = tokio::task::spawn_blocking(move || audit_log.close()).await; // it logs what fails
    catalog::process_ends();
    tracing::info!("stopped");
    outcome
}

/// What callers meet from the beginning: the gate, which is closed until the service is loaded, and what is measured.
struct Front {
    gated: Gated<Services>,
    sources: Arc<metrics::Sources>,
}

impl Front {
    fn new(config: &Config, traces: Option<Arc<Traces>>) -> Result<Self, ServeError> {
        let readiness = Readiness::loading();
        let requests = Arc::<RequestMetrics>::default();
        let health = HealthServer::new(Health::new(readiness.clone()));
        let mut open = Collected::default().with(health.max_decoding_message_size(MAX_OPEN_MESSAGE));
        if config.reflection {
            open = with_reflection(open)?;
        }
        let sources = metrics::Sources {
            data_dir: config.data_dir.clone(),
            started_at: now(),
            readiness,
            requests: requests.clone(),
            traces,
            in_flight: InFlight::default(),
            places: Arc::new(Places::new(config.limits, listen::most_connections())),
            sweeps: Arc::default(),
            app: OnceLock::new(),
        };
        let gated = Gated::closed(open.services(), config.reflection, requests);
        Ok(Self { gated, sources: Arc::new(sources) })
    }

    /// Opens the gate to the service.
    fn open(&self, app: &Arc<App>, audit_log: &Arc<AuditLog>, config: &Config) -> Arc<LogAuditor> {
        let events = config.audit.stderr != AuditStderr::Off;
        let names = match config.audit.names {
            AuditNames::Plain => Names::Plain,
            AuditNames::Fingerprint => Names::Fingerprints(app.audit.name_mac()),
        };
        let auditor = Arc::new(LogAuditor::new(Some(audit_log.clone()), events, names));
        let counted = self.sources.places.clone();
        app.count_connections(move || counted.usage());
        let gate = Gate::new(app.clone(), auditor.clone(), self.sources.in_flight.clone())
            .traced(self.sources.traces.clone());
        self.gated.open(&gate, api::services(app));
        let _ = self.sources.app.set(app.clone()); // there is one
        self.sources.readiness.note(UnreadyCause::Loading, None);
        auditor
    }
}

fn with_reflection(services: Collected) -> Result<Collected, ServeError> {
    let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    Ok(services
        .with(v1.max_decoding_message_size(MAX_OPEN_MESSAGE))
        .with(v1alpha.max_decoding_message_size(MAX_OPEN_MESSAGE)))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::v1::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that grpcurl can show the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

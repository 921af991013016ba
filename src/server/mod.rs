//! The composition root: from a configuration to a service that listens, and to its orderly end.

mod background;
mod connection;
mod data_dir;
mod drain;
mod error;
mod exchange;
mod frames;
mod key_fetch;
mod listen;
mod parts;
mod places;
mod received;
mod recover;
mod reload;
mod reply;
mod resets;
mod socket;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tonic::service::Routes;
use tower::Layer;

use self::background::report_health;
use self::connection::Serving;
pub use self::data_dir::DataDirError;
use self::drain::drain;
pub use self::error::ServeError;
use self::parts::Parts;
use self::places::Places;
pub use self::recover::{RecoverError, Recovered, recover};
use self::reload::reload_when_asked;
use crate::api::{self, Gate, InFlight};
use crate::audit::{LogAuditor, Names};
use crate::config::{AuditNames, AuditStderr, Config, MasterKeySource};

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
    /// The file of the first API key.
    pub root_key: PathBuf,
    /// Whether this was the first start, which made the keys.
    pub first_start: bool,
}

/// Serves until `shutdown` ends, and then until the requests in flight are answered, within a bound. Calls `announce`
/// once requests are accepted. Reads certificates, client authorities and issuers' keys again at each message of `reload`.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
    reload: mpsc::Receiver<()>,
    announce: impl FnOnce(&Ready),
) -> Result<(), ServeError> {
    let mut shutdown = Box::pin(shutdown);
    let parts = tokio::select! {
        parts = parts::start(&config) => parts?,
        () = &mut shutdown => return Ok(()),
    };
    let ready = &parts.ready;
    tracing::info!(address = %ready.address, tls = ready.tls, store = ?config.store, "serving");
    announce(ready);
    serve(parts, &config, shutdown, reload).await
}

async fn serve(
    parts: Parts,
    config: &Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
    reload: mpsc::Receiver<()>,
) -> Result<(), ServeError> {
    let Parts { app, audit_log, listener, tls, ready: _, data: _held_to_the_end } = parts;
    let (health, health_service) = tonic_health::server::health_reporter();
    report_health(&health, true).await;
    let (stopping, stop) = watch::channel(false);
    let in_flight = InFlight::default();
    let events = config.audit.stderr != AuditStderr::Off;
    let names = match config.audit.names {
        AuditNames::Plain => Names::Plain,
        AuditNames::Fingerprint => Names::Fingerprints(app.audit.name_mac()),
    };
    let auditor = Arc::new(LogAuditor::new(Some(audit_log.clone()), events, names));

    let health_service = health_service.max_decoding_message_size(MAX_OPEN_MESSAGE);
    let mut routes = api::services(&app).add_service(health_service);
    let mut gate = Gate::new(app.clone(), auditor.clone(), in_flight.clone());
    if config.reflection {
        routes = with_reflection(routes)?;
    } else {
        gate = gate.without_reflection();
    }
    let (age, limits) = (config.connection_age, config.limits);
    let places = Arc::new(Places::new(limits, listen::most_connections()));
    let counted = places.clone();
    app.count_connections(move || counted.usage());
    let sources = app.access.sources().clone();
    let gated = gate.layer(routes.prepare());
    let serving = Serving { gated, tls: tls.clone(), sources: sources.clone(), age, limits };

    let mut background = background::start(&app, &auditor, &health);
    key_fetch::start(sources.issuers(), &mut background);
    background.spawn(reload_when_asked(reload, tls, sources));
    let mut serving = tokio::spawn(listen::serve(listener, serving, places, stop));

    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = shutdown => None,
    };
    background.abort_all();
    let outcome = match ended {
        Some(_) => Err(ServeError::Ended),
        None => {
            tracing::info!("stopping: requests in flight are answered, new ones are refused");
            report_health(&health, false).await;
            stopping.send_replace(true);
            drain(&mut serving, &in_flight).await;
            Ok(())
        }
    };
    auditor.write_refusals();
    app.close().await;
    let _ = tokio::task::spawn_blocking(move || audit_log.close()).await; // it logs what fails
    tracing::info!("stopped");
    outcome
}

fn with_reflection(routes: Routes) -> Result<Routes, ServeError> {
    let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    Ok(routes
        .add_service(v1.max_decoding_message_size(MAX_OPEN_MESSAGE))
        .add_service(v1alpha.max_decoding_message_size(MAX_OPEN_MESSAGE)))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::v1::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that grpcurl can show the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

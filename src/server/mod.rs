//! The composition root: from a configuration to a service that listens, and to its orderly end.

mod background;
mod connection;
mod data_dir;
mod drain;
mod error;
mod listen;
mod parts;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tonic::transport::Server;

use self::background::report_health;
pub use self::data_dir::DataDirError;
use self::drain::drain;
pub use self::error::ServeError;
use self::listen::incoming;
use self::parts::Parts;
use crate::api::{self, Gate, InFlight};
use crate::app::App;
use crate::audit::LogAuditor;
use crate::config::{Config, ConnectionAge, MasterKeySource};

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
/// once requests are accepted.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
    announce: impl FnOnce(&Ready),
) -> Result<(), ServeError> {
    let mut shutdown = Box::pin(shutdown);
    let parts = tokio::select! {
        parts = parts::start(&config) => parts?,
        () = &mut shutdown => return Ok(()),
    };
    let Parts { app, listener, acceptor, ready, data: _held_to_the_end } = parts;
    tracing::info!(address = %ready.address, tls = ready.tls, store = ?config.store, "serving");
    announce(&ready);
    serve(app, listener, acceptor, config.connection_age, shutdown).await
}

async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    age: ConnectionAge,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    report_health(&health, true).await;
    let (stopping, mut stop) = watch::channel(false);
    let in_flight = InFlight::default();
    let auditor = Arc::<LogAuditor>::default();

    let router = transport(age)
        .layer(Gate::new(app.clone(), auditor.clone(), in_flight.clone()))
        .add_routes(api::services(&app))
        .add_service(health_service.max_decoding_message_size(MAX_OPEN_MESSAGE))
        .add_service(reflection()?.build_v1()?.max_decoding_message_size(MAX_OPEN_MESSAGE))
        .add_service(reflection()?.build_v1alpha()?.max_decoding_message_size(MAX_OPEN_MESSAGE));

    let mut background = background::start(&app, &auditor, &health);
    let incoming = incoming(listener, acceptor, age.max + age.grace);
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let mut serving = tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped));

    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = shutdown => None,
    };
    background.abort_all();
    let outcome = match ended {
        Some(Ok(ended)) => ended.map_err(ServeError::from),
        Some(Err(_)) => Err(ServeError::Ended),
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
    tracing::info!("stopped");
    outcome
}

/// HTTP/2 with its bounds. At its age, the client is told to open another connection (GOAWAY). tonic does not get the
/// grace: with one, it sends no GOAWAY (0.14.9). A [`Connection`](connection::Connection) ends by itself instead when its
/// grace has passed.
fn transport(age: ConnectionAge) -> Server {
    Server::builder()
        .max_connection_age(age.max)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .http2_max_header_list_size(16 * 1024)
        .max_concurrent_streams(1024)
}

fn reflection() -> Result<tonic_reflection::server::Builder<'static>, ServeError> {
    Ok(tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::v1::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that grpcurl can show the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET))
}

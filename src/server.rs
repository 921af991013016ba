//! The composition root: from a configuration to a service that listens, and to its orderly end.

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use zeroize::Zeroizing;

use crate::api::{self, Gate, InFlight};
use crate::app::{self, App, SetupError};
use crate::audit::LogAuditor;
use crate::config::{Config, ConnectionAge, MasterKeySource, StoreKind, Tls};
use crate::connections::{acceptor, incoming};
use crate::crypto::{MasterKeyError, MasterKeyProvider, MasterKeys};
use crate::data_dir::{DataDir, DataDirError};
use crate::integrity::AnchorError;
use crate::store::{self, Store, Unavailable};

/// How long requests in flight may take to end once the server is to stop.
const DRAIN: Duration = Duration::from_secs(25);
/// The largest message to health and reflection, in bytes. Anyone may call those, and the buffer of a message is
/// reserved as soon as its length is announced.
const MAX_OPEN_MESSAGE: usize = 4096;
/// How long connections may take to close once no request is in flight. One that stays silent never does.
const CLOSE: Duration = Duration::from_secs(1);
/// How often the store is asked whether it can serve.
const HEALTH: Duration = Duration::from_secs(1);
/// How often the anchor is brought up to date.
const ANCHOR: Duration = Duration::from_secs(1);
/// How often it is looked whether keys are to be rotated.
const TEND: Duration = Duration::from_secs(60);
/// How often receipts whose time has passed are removed.
const SWEEP: Duration = Duration::from_secs(60 * 60);

/// A server that has begun to serve.
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it does so with TLS.
    pub tls: bool,
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// The file of the first API key.
    pub root_key: PathBuf,
    /// Whether this was the first start, which made the keys.
    pub first_start: bool,
}

/// Why the server does not serve. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A folder or file can not be used.
    #[error("{} can not be used: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The store can not serve.
    #[error(transparent)]
    Store(#[from] Unavailable),
    /// The master key can not be used.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The data folder can not be served.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The data is there, and its key is not.
    #[error(
        "the store holds data, but {0} is not there, which opens it: put the key back, or say where it is with \
         --master-key-file, --master-key-command or --master-key-passphrase-file. No new key was made, since it could not \
         open the data"
    )]
    MasterKeyMissing(MasterKeySource),
    /// A key that was named is not there, and there is no data yet.
    #[error(
        "{source_of} is not there: make one with `strongroom master-key generate --out {}`, or leave it out, and a key is \
         made in the data folder", file.display()
    )]
    NoMasterKeyYet {
        /// What is not there.
        source_of: MasterKeySource,
        /// Its file.
        file: PathBuf,
    },
    /// The data was sealed with another key.
    #[error(
        "{0} does not hold the master key that this store was made with, or the store's keyring was altered: nothing was \
         changed. Give the right key with --master-key-file, --master-key-command or --master-key-passphrase-file"
    )]
    WrongMasterKey(MasterKeySource),
    /// The keys of one store would be overwritten by another's.
    #[error(
        "{} holds a store on disk: a store elsewhere needs a folder of its own for its keys, so give another --data-dir",
        .0.display()
    )]
    OtherStore(PathBuf),
    /// The service can not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The server's identity is not one.
    #[error("{} and {} are not a certificate (PEM) and its private key (PEM): {}", .0.display(), .1.display(), .2)]
    Tls(PathBuf, PathBuf, Box<dyn std::error::Error + Send + Sync>),
    /// The address can not be listened on.
    #[error("{0} can not be listened on: {1}")]
    Listen(SocketAddr, io::Error),
    /// The transport ended by itself.
    #[error("the transport ended by a defect: the log says more")]
    Ended,
    /// The transport failed.
    #[error("the transport failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// Reflection could not be made from the descriptors.
    #[error("reflection can not be served: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `shutdown` ends, and then until the requests in flight are answered, within a bound. `announce` is
/// called once requests are accepted.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
    announce: impl FnOnce(&Ready),
) -> Result<(), ServeError> {
    let mut shutdown = Box::pin(shutdown);
    let started = tokio::select! {
        started = start(&config) => started?,
        () = &mut shutdown => return Ok(()),
    };
    // The data folder is held until all is over.
    let Started { app, listener, acceptor, ready, data: _data } = started;
    tracing::info!(address = %ready.address, tls = ready.tls, store = ?config.store, "serving");
    announce(&ready);
    serve(app, listener, acceptor, config.connection_age, shutdown).await
}

/// A server that is ready to serve.
struct Started {
    app: Arc<App>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    ready: Ready,
    data: DataDir,
}

async fn start(config: &Config) -> Result<Started, ServeError> {
    let data = DataDir::open(&config.data_dir)?;
    let acceptor = config.tls.as_ref().map(identity).transpose()?;
    let store = open_store(config).await?;
    let first_start = store.is_new().await?;
    let (masters, master_key_made) = master_keys(&config.master_key, &data, first_start).await?;
    tracing::info!(source = %config.master_key, earlier_keys = masters.earlier(), "the master key was read");
    let root_key = data.root_key();
    let options = app::Options {
        data_dir: data.path().to_owned(),
        accept_altered_store: config.accept_altered_store,
        anchor_file: config.anchor_file.clone(),
        ..app::Options::default()
    };
    let provider = MasterKeyProvider::new(config.master_key.clone(), masters);
    let app = app::open(store, provider, options, |credential| {
        let line = Zeroizing::new([credential.expose().as_bytes(), b"\n"].concat());
        data.write_root_key(&line, config.store == StoreKind::Memory)
    });
    let app = app.await.inspect_err(|error| {
        // What this start made are keys to nothing: there is no store, or it has another server's.
        let made = match error {
            SetupError::Raced => [master_key_made.as_ref(), Some(&root_key)],
            SetupError::Anchor(AnchorError::New(_)) => [master_key_made.as_ref(), None],
            _ => [None, None],
        };
        for file in made.into_iter().flatten() {
            let _ = fs::remove_file(file);
        }
    });
    let app = Arc::new(app.map_err(|error| match error {
        SetupError::WrongMasterKey => ServeError::WrongMasterKey(config.master_key.clone()),
        other => other.into(),
    })?);

    let failed = |error| ServeError::Listen(config.listen, error);
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let tls = config.tls.is_some();
    let ready = Ready { address, tls, master_key: config.master_key.clone(), root_key, first_start };
    Ok(Started { app, listener, acceptor, ready, data })
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

    let router = transport(age)
        .layer(Gate::new(app.clone(), Arc::new(LogAuditor), in_flight.clone()))
        .add_routes(api::services(&app))
        .add_service(health_service.max_decoding_message_size(MAX_OPEN_MESSAGE))
        .add_service(reflection()?.build_v1()?.max_decoding_message_size(MAX_OPEN_MESSAGE))
        .add_service(reflection()?.build_v1alpha()?.max_decoding_message_size(MAX_OPEN_MESSAGE));

    let mut background = JoinSet::new();
    background.spawn(watch_health(app.clone(), health.clone()));
    background.spawn(sweep_idempotency_records(app.clone()));
    background.spawn(tend_keys(app.clone()));
    background.spawn(keep_anchor(app.clone()));
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
            let drained = async {
                // A connection can begin a request until it has heard of the stop: then it is waited for too.
                loop {
                    in_flight.none().await;
                    let closed = tokio::time::timeout(CLOSE, &mut serving).await.is_ok();
                    if closed || in_flight.is_none() {
                        return;
                    }
                }
            };
            let cut_off = tokio::time::timeout(DRAIN, drained).await.is_err();
            if !serving.is_finished() {
                tracing::info!(requests_cut_off = cut_off, "connections still open are closed");
                serving.abort();
            }
            Ok(())
        }
    };
    app.close().await;
    tracing::info!("stopped");
    outcome
}

/// Keeps health true to the store, until it is aborted.
async fn watch_health(app: Arc<App>, health: HealthReporter) {
    let mut check = tokio::time::interval(HEALTH);
    let mut healthy = true;
    loop {
        check.tick().await;
        let answers = app.check().await.is_ok();
        if answers != healthy {
            healthy = answers;
            tracing::warn!(healthy, "the store's health changed");
            report_health(&health, healthy).await;
        }
    }
}

/// Removes the receipts whose time has passed, until it is aborted.
async fn sweep_idempotency_records(app: Arc<App>) {
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        sweep.tick().await;
        match app.idempotency.remove_expired().await {
            Ok(removed) => tracing::debug!(removed, "receipts whose time had passed were removed"),
            Err(error) => tracing::warn!(?error, "receipts whose time had passed could not be removed"),
        }
    }
}

/// Takes up rotations of keys that were cut short, and begins those that are due, until it is aborted.
async fn tend_keys(app: Arc<App>) {
    let mut tend = tokio::time::interval(TEND);
    loop {
        tokio::select! {
            _ = tend.tick() => {}
            () = app.keys.wait_for_restore() => {}
        }
        if let Err(error) = app.keys.tend().await {
            tracing::warn!(?error, "keys could not be rotated; trying again");
        }
    }
}

/// Keeps the anchor close behind the store, until it is aborted.
async fn keep_anchor(app: Arc<App>) {
    let mut keep = tokio::time::interval(ANCHOR);
    loop {
        keep.tick().await;
        app.write_anchor().await;
    }
}

async fn report_health(health: &HealthReporter, healthy: bool) {
    let status = if healthy { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in [""].iter().chain(&api::SERVICES) {
        health.set_service_status(*service, status).await;
    }
}

fn reflection() -> Result<tonic_reflection::server::Builder<'static>, ServeError> {
    Ok(tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::v1::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that grpcurl can show what an error's details say.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET))
}

async fn open_store(config: &Config) -> Result<Arc<dyn Store>, ServeError> {
    match config.store {
        StoreKind::Memory | StoreKind::Etcd if store::holds_sled(&config.data_dir) => {
            Err(ServeError::OtherStore(config.data_dir.clone()))
        }
        StoreKind::Memory => Ok(store::open_memory()?),
        StoreKind::Sled => {
            let folder = config.data_dir.clone();
            let opened = tokio::task::spawn_blocking(move || store::open_sled(&folder)).await;
            Ok(opened.map_err(|_| Unavailable("it could not be opened".into()))??)
        }
        StoreKind::Etcd => match &config.etcd {
            Some(settings) => Ok(store::open_etcd(settings).await?),
            None => Err(Unavailable("nothing says where etcd is".into()).into()),
        },
    }
}

/// The master keys, and the file that was made for them: at the first start, where nothing names another source.
async fn master_keys(
    source: &MasterKeySource,
    data: &DataDir,
    first_start: bool,
) -> Result<(MasterKeys, Option<PathBuf>), ServeError> {
    let mut made = None;
    if let MasterKeySource::DataDir(file) = source {
        data.tidy_master_key();
        if first_start && data.make_master_key()? {
            made = Some(file.clone());
        }
    }
    let from = source.clone();
    // A command can take its time.
    let read = tokio::task::spawn_blocking(move || MasterKeys::read(&from)).await;
    let read = read.map_err(|_| Unavailable("the master key could not be read".into()))?;
    let masters = read.map_err(|error| match (error, source) {
        (MasterKeyError::Missing(source), _) if !first_start => ServeError::MasterKeyMissing(source),
        (MasterKeyError::Missing(source), MasterKeySource::File(file) | MasterKeySource::Variable(file)) => {
            ServeError::NoMasterKeyYet { source_of: source, file: file.clone() }
        }
        (error, _) => error.into(),
    })?;
    Ok((masters, made))
}

/// HTTP/2 with its bounds. At its age, a client is told to open another connection (GOAWAY). The grace is not given to
/// tonic, which then sends no GOAWAY (as of 0.14.9): the connection ends by itself when the grace has passed.
fn transport(age: ConnectionAge) -> Server {
    Server::builder()
        .max_connection_age(age.max)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .http2_max_header_list_size(16 * 1024)
        .max_concurrent_streams(1024)
}

/// What speaks TLS as this server.
fn identity(tls: &Tls) -> Result<TlsAcceptor, ServeError> {
    let read = |path: &PathBuf| fs::read(path).map_err(|error| ServeError::File(path.clone(), error));
    acceptor(&read(&tls.cert)?, &read(&tls.key)?)
        .map_err(|error| ServeError::Tls(tls.cert.clone(), tls.key.clone(), error))
}

//! From the configuration to the parts of a service: first the data folder, the sources of credentials, and the listeners with
//! their TLS; then the store, the master keys, and the app.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::Ready;
use super::audit_log::{self, Found, forget_begun};
use super::data_dir::DataDir;
use super::error::ServeError;
use super::metrics;
use super::reload::read_key_files;
use super::tls::Tls;
use crate::app::{self, App, CredentialSources, IssuerKeys, Readiness, SetupError, UnreadyCause};
use crate::config::{Config, Issuer, MasterKeySource, QuotaSettings, StoreKind};
use crate::crypto::{MasterKeyError, MasterKeyProvider, MasterKeys};
use crate::integrity::AnchorError;
use crate::integrity::audit_log::AuditLog;
use crate::limits::Quota;
use crate::store::{self, Store, Unavailable, UnavailableCause};

/// When the log tells again that the server waits for etcd, and how long it is silent about that at most.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// The pause before a start over etcd is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What a server has before it knows its store: the hold on its data folder, and its addresses.
pub(super) struct Bound {
    /// The hold on the data folder, which lasts until all is over.
    pub(super) data: DataDir,
    pub(super) sources: Arc<CredentialSources>,
    pub(super) quotas: Arc<[Quota]>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) metrics: Option<TcpListener>,
}

/// A service that is ready to serve.
pub(super) struct Loaded {
    pub(super) app: Arc<App>,
    pub(super) audit_log: Arc<AuditLog>,
    pub(super) ready: Ready,
}

/// Takes the data folder and listens, so that callers are answered while the store is loaded.
pub(super) async fn bind(config: &Config) -> Result<Bound, ServeError> {
    let quotas = quotas(&config.quotas)?;
    let data = DataDir::open(&config.data_dir)?;
    let sources = Arc::new(sources(&config.issuers)?);
    let tls = config.tls.as_ref().map(|files| Tls::open(files, config.client_ca.as_ref(), &sources));
    let tls = tls.transpose()?.map(Arc::new);
    let failed = |error| ServeError::Listen(config.listen, error);
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let metrics = match config.metrics_listen {
        Some(address) => Some(metrics::bind(address).await?),
        None => None,
    };
    tracing::info!(%address, tls = tls.is_some(), "listening: requests are served once the store is loaded");
    Ok(Bound { data, sources, quotas, tls, listener, address, metrics })
}

/// Loads the store and what belongs to it. The first start makes the keys too. Over etcd, what passes is waited for.
pub(super) async fn load(
    config: &Config,
    data: &DataDir,
    sources: Arc<CredentialSources>,
    quotas: Arc<[Quota]>,
    readiness: Readiness,
    address: SocketAddr,
) -> Result<Loaded, ServeError> {
    let wait = EtcdWait::new(&readiness);
    loop {
        if let (StoreKind::Etcd, Some(etcd)) = (config.store, &config.etcd) {
            store::await_etcd(etcd, |why| wait.tell(why)).await?;
        }
        let (sources, quotas, readiness) = (sources.clone(), quotas.clone(), readiness.clone());
        match load_once(config, data, sources, quotas, readiness, address).await {
            Err(error) if config.store == StoreKind::Etcd && passes(&error).is_some() => {
                passes(&error).into_iter().for_each(|why| wait.tell(why));
                tokio::time::sleep(AGAIN).await;
            }
            loaded => {
                wait.end();
                return loaded;
            }
        }
    }
}

/// What keeps a start over etcd waiting, and passes, or is waited for until somebody makes room in etcd.
fn passes(error: &ServeError) -> Option<&Unavailable> {
    let (ServeError::Store(why) | ServeError::Setup(SetupError::Store(why))) = error else { return None };
    match why.cause() {
        UnavailableCause::Passing | UnavailableCause::Behind | UnavailableCause::Full => Some(why),
        // Somebody has to start the server with something else.
        UnavailableCause::Login
        | UnavailableCause::OtherHistory
        | UnavailableCause::Clock
        | UnavailableCause::Settings
        | UnavailableCause::Stopping => None,
    }
}

async fn load_once(
    config: &Config,
    data: &DataDir,
    sources: Arc<CredentialSources>,
    quotas: Arc<[Quota]>,
    readiness: Readiness,
    address: SocketAddr,
) -> Result<Loaded, ServeError> {
    let store = open_store(config).await?;
    let loaded = load_from(&store, config, data, sources, quotas, readiness, address).await;
    if loaded.is_err() {
        store.close().await; // so that no other server reckons with this one
    }
    loaded
}

async fn load_from(
    store: &Arc<dyn Store>,
    config: &Config,
    data: &DataDir,
    sources: Arc<CredentialSources>,
    quotas: Arc<[Quota]>,
    readiness: Readiness,
    address: SocketAddr,
) -> Result<Loaded, ServeError> {
    let first_start = store.is_new().await?;
    let (masters, master_key_made) = master_keys(&config.master_key, data, first_start).await?;
    tracing::info!(source = %config.master_key, earlier_keys = masters.earlier(), "the master key was read");
    let root_key = data.root_key();
    let masters = Arc::new(masters);
    let open = |audit_log: &audit_log::Opened| {
        let options = app::Options {
            audit_log: Some(audit_log.log.clone()),
            begin_new_audit_log: audit_log.is_renewed,
            data_dir: data.path().to_owned(),
            accept_altered_store: config.accept_altered_store,
            anchor_file: config.anchor_file.clone(),
            limits: config.limits,
            quotas: quotas.clone(),
            deletion_retention: config.deletion_retention,
            cached_reads: config.cached_reads,
            history: config.history,
            sources: sources.clone(),
            readiness: readiness.clone(),
            ..app::Options::default()
        };
        let provider = MasterKeyProvider::new(config.master_key.clone(), masters.clone());
        app::open(store.clone(), provider, options, |credential| {
            let line = Zeroizing::new([credential.expose().as_bytes(), b"\n"].concat());
            data.write_root_key(&line, config.store == StoreKind::Memory)
        })
    };
    let mut audit_log = audit_log::open(config, data)?;
    let mut app = open(&audit_log).await;
    if config.begin_new_audit_log
        && !audit_log.is_renewed
        && let Err(error) = &app
        && let Some(found) = Found::by_store(error)
    {
        audit_log = audit_log::begin_in_place_of(found, &audit_log.log, config, data)?;
        app = open(&audit_log).await;
    }
    let audit_log = audit_log.log;
    if app.is_err() {
        let closing = audit_log.clone();
        let _ = tokio::task::spawn_blocking(move || closing.close()).await; // it logs what fails
    }
    let app = app.inspect_err(|error| {
        // The keys that this start made open nothing: there is no store, or it has the keys of another server.
        let made = match error {
            SetupError::Raced => [master_key_made.as_ref(), Some(&root_key)],
            SetupError::Store(why) if first_start && why.cause() == UnavailableCause::Full => {
                [master_key_made.as_ref(), Some(&root_key)]
            }
            SetupError::Anchor(AnchorError::New(_)) => [master_key_made.as_ref(), None],
            _ => [None, None],
        };
        if matches!(error, SetupError::AuditLogVanished) {
            forget_begun(&audit_log, data);
        }
        for file in made.into_iter().flatten() {
            let _ = fs::remove_file(file);
        }
    });
    let app = Arc::new(app.map_err(|error| match error {
        SetupError::WrongMasterKey => ServeError::WrongMasterKey(config.master_key.clone()),
        SetupError::AuditLog(error) => error.into(),
        // Another attempt would make another root key, and this one may be in the store.
        SetupError::Store(why)
            if first_start && matches!(why.cause(), UnavailableCause::Passing | UnavailableCause::Behind) =>
        {
            ServeError::NewStore(why)
        }
        other => other.into(),
    })?);

    // Revoked, rotated, or the key of a store that a restore has replaced.
    let in_force = |file: &PathBuf| {
        let text = fs::read_to_string(file).map(Zeroizing::new);
        text.is_ok_and(|text| app.access.is_in_force(text.trim()))
    };
    let root_key = Some(root_key).filter(in_force);
    let (tls, master_key) = (config.tls.is_some(), config.master_key.clone());
    Ok(Loaded { app, audit_log, ready: Ready { address, tls, master_key, root_key, first_start } })
}

/// The wait of a start for an etcd that is away, or cannot serve. The log tells of it at once, and then less and less often.
struct EtcdWait<'a> {
    readiness: &'a Readiness,
    began: Instant,
    tell_at: Mutex<Duration>,
}

impl<'a> EtcdWait<'a> {
    fn new(readiness: &'a Readiness) -> Self {
        Self { readiness, began: Instant::now(), tell_at: Mutex::default() }
    }

    fn tell(&self, why: &Unavailable) {
        self.readiness.note(UnreadyCause::Loading, Some(why.0.to_string()));
        let full = why.cause() == UnavailableCause::Full;
        self.readiness.note(UnreadyCause::StoreFull, full.then(|| why.0.to_string()));
        let waited = self.began.elapsed();
        let mut tell_at = self.tell_at.lock().unwrap_or_else(PoisonError::into_inner);
        if waited >= *tell_at {
            *tell_at = (waited * 2).clamp(FIRST_WAIT, LONGEST_WAIT.saturating_add(waited));
            tracing::warn!(cause = %why.0, waited_s = waited.as_secs(), "the server waits for etcd");
        }
    }

    fn end(&self) {
        self.readiness.note(UnreadyCause::StoreFull, None);
        if *self.tell_at.lock().unwrap_or_else(PoisonError::into_inner) > Duration::ZERO {
            tracing::info!(waited_s = self.began.elapsed().as_secs(), "etcd answers");
        }
    }
}

/// The sources of credentials, with the keys of the issuers that have them in files.
fn sources(issuers: &[Issuer]) -> Result<CredentialSources, ServeError> {
    let issuers = issuers
        .iter()
        .map(|issuer| {
            IssuerKeys::new(issuer).map_err(|invalid| ServeError::Issuer(issuer.name.clone(), invalid))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let sources = CredentialSources::new(issuers);
    read_key_files(sources.issuers())?;
    Ok(sources)
}

/// The quotas, whose namespaces are checked here.
fn quotas(settings: &[QuotaSettings]) -> Result<Arc<[Quota]>, ServeError> {
    let quota = |(at, quota): (usize, &QuotaSettings)| {
        Quota::of(quota).map_err(|invalid| ServeError::Quota(quota.described(at), invalid))
    };
    settings.iter().enumerate().map(quota).collect()
}

/// Opens the store of the settings.
pub(super) async fn open_store(config: &Config) -> Result<Arc<dyn Store>, ServeError> {
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
            None => {
                let text = "nothing says where etcd is";
                Err(Unavailable::because(UnavailableCause::Settings, text).into())
            }
        },
    }
}

/// The master keys, and the file that was made for them: at the first start, unless the settings name another source.
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
    Ok((read_master_keys(source, first_start).await?, made))
}

/// The master keys of a store.
pub(super) async fn read_master_keys(
    source: &MasterKeySource,
    first_start: bool,
) -> Result<MasterKeys, ServeError> {
    let from = source.clone();
    // A command can take its time.
    let read = tokio::task::spawn_blocking(move || MasterKeys::read(&from)).await;
    let read = read.map_err(|_| Unavailable("the master key could not be read".into()))?;
    read.map_err(|error| match (error, source) {
        (MasterKeyError::Missing(source), _) if !first_start => ServeError::MasterKeyMissing(source),
        (MasterKeyError::Missing(source), MasterKeySource::File(file) | MasterKeySource::Variable(file)) => {
            ServeError::NoMasterKeyYet { source_of: source, file: file.clone() }
        }
        (error, _) => error.into(),
    })
}

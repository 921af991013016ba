//! Open the service over a store. A new store is set up first, with a keyring and the root key.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::access::{implied_access, migrate};
use super::clock_agreement::ClockAgreement;
use super::commit::Core;
use super::freshness::{AheadPlaces, Freshness};
use super::outbox::{OpenError, Outbox};
use super::usage::UsageNotes;
use super::{App, CredentialSources, Error, Readiness, SealLimits};
use crate::auth::{ApiKey, Credential, KeyName};
use crate::catalog::Catalog;
use crate::config::{CachedReads, HistorySettings, Limits};
use crate::crypto::{self, Keyring, MasterKeyProvider, MasterKeys};
use crate::domain::{Clock, Namespace, now};
use crate::integrity::audit_log::{AuditLog, LogError};
use crate::integrity::{AnchorError, AnchorFile, Divergence, LoadError, StoreDigest, Verification, verify};
use crate::limits::Quota;
use crate::store::{Changed, CommitError, Expect, Key, Store, Transaction, Unavailable};

/// Why the service cannot be opened over a store.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The store was made with another master key.
    #[error(
        "the master key is not the one that this store was made with, or the store's keyring was altered: nothing was \
         changed. Give the right key with --master-key-file"
    )]
    WrongMasterKey,
    /// The store holds data, but not the keyring that opens it.
    #[error(
        "the store holds data, but its keyring is gone, so nothing in it can be opened: nothing was changed. Restore the \
         data folder from a copy"
    )]
    KeyringMissing,
    /// The store's records do not match its digest.
    #[error(
        "the store is not what it was when it was last changed: records were removed, added, or put back from an older \
         copy, or its digest was altered. Nothing was changed. Restore a backup into a new folder. If you know what was \
         done to the store, you can start once with --accept-altered-store, which serves the store as it is"
    )]
    Altered,
    /// The store does not match its anchor, or the anchor cannot be read.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// Another server over the store has seen what the store lacks.
    #[error(
        "another server that runs over this store has seen a later state of it: {0}. Nothing was changed. Stop all servers and \
         put the newest copy of the store back; or, to serve what is there, start once with --accept-altered-store"
    )]
    BehindOthers(Divergence),
    /// The operating system gave no random numbers.
    #[error(transparent)]
    Crypto(crypto::Error),
    /// The store cannot serve.
    #[error(transparent)]
    Store(#[from] Unavailable),
    /// The root key could not be handed out.
    #[error("the root key could not be written: {0}")]
    RootKey(std::io::Error),
    /// The keys of an earlier release could not get their bindings.
    #[error("the store is of an earlier release, and its API keys could not get their bindings: start again")]
    NotMigrated,
    /// The audit log is not the one that the store knows.
    #[error(transparent)]
    AuditLog(LogError),
    /// The store knows an audit log that is not there any more.
    #[error(
        "the store knows an audit log, but the folder audit/ of the data folder is not there, or is that of another log. \
         Nothing was changed. Put the folder back; or start once with --begin-new-audit-log, which begins a new log"
    )]
    AuditLogVanished,
    /// Copies of audit records in the store cannot be moved to the audit log.
    #[error("the audit records of the latest changes cannot be moved from the store to the audit log: {0}")]
    Outbox(&'static str),
    /// The history of changes could not begin.
    #[error("the history of changes could not begin: start again")]
    NoHistory,
    /// Two servers set up the same store at once.
    #[error("another server is setting up this store: start again")]
    Raced,
}

impl SetupError {
    /// The error of a migration of an earlier release's store.
    fn of_migration(error: Error) -> Self {
        match error {
            Error::Unavailable(why) => Self::Store(why),
            error => {
                tracing::error!(%error, "the API keys of an earlier release could not get their bindings");
                Self::NotMigrated
            }
        }
    }
}

impl SetupError {
    /// The error of a history that does not begin.
    fn of_history(error: Error) -> Self {
        match error {
            Error::Unavailable(why) => Self::Store(why),
            error => {
                tracing::error!(%error, "the history of changes could not begin");
                Self::NoHistory
            }
        }
    }
}

impl From<LoadError> for SetupError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::KeyringMissing => Self::KeyringMissing,
            LoadError::WrongMasterKey => Self::WrongMasterKey,
            LoadError::Altered => Self::Altered,
            LoadError::Failed(error) => Self::Crypto(error),
            LoadError::Store(why) => Self::Store(why),
        }
    }
}

impl From<OpenError> for SetupError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Log(error) => Self::AuditLog(error),
            OpenError::Vanished => Self::AuditLogVanished,
            OpenError::Failed(Error::Unavailable(why)) => Self::Store(why),
            OpenError::Failed(Error::AuditUnavailable) => {
                Self::Outbox("the audit log cannot be written or read")
            }
            OpenError::Failed(_) => Self::Outbox("a copy was altered, or cannot be opened"),
        }
    }
}

impl From<crypto::Error> for SetupError {
    fn from(error: crypto::Error) -> Self {
        Self::Crypto(error)
    }
}

/// How the service is opened.
#[derive(Clone, Default)]
pub struct Options {
    /// Where the bytes of a restore are kept until all of them have arrived.
    pub data_dir: PathBuf,
    /// Whether to serve an altered store as it is.
    pub accept_altered_store: bool,
    /// The anchor file, which tells an older copy of the store from the store; `None` where there is none.
    pub anchor_file: Option<PathBuf>,
    /// The limits that keep one caller from taking the service from the others.
    pub limits: Limits,
    /// How much the secrets of namespaces may take.
    pub quotas: Arc<[Quota]>,
    /// How long the changes of secrets are kept for watchers.
    pub history: HistorySettings,
    /// The audit log of this server.
    pub audit_log: Option<Arc<AuditLog>>,
    /// Whether to begin a new audit log where the one that the store knows has vanished.
    pub begin_new_audit_log: bool,
    /// How much a key may seal.
    pub seal_limits: SealLimits,
    /// Where credentials come from that the store does not have.
    pub sources: Arc<CredentialSources>,
    /// How long deleted and expired secrets are kept; zero: a deleted secret is removed at once.
    pub deletion_retention: Duration,
    /// How old the state may be that a cached read is answered from.
    pub cached_reads: CachedReads,
    /// The clock by which secrets change, expire and are due.
    pub clock: Clock,
    /// Whether this server serves, as the server finds it out.
    pub readiness: Readiness,
}

/// Opens the service over a store. Where the store is new, it is set up first. The root key is handed out before it is put
/// into the store: if the start is cut short between the two, the next start hands out another root key.
pub async fn open(
    store: Arc<dyn Store>,
    provider: MasterKeyProvider,
    options: Options,
    hand_out_root_key: impl FnOnce(&Credential) -> std::io::Result<()>,
) -> Result<App, SetupError> {
    let provider = Arc::new(provider);
    let master = provider.keys();
    let anchor = options.anchor_file.clone().map(|file| Arc::new(AnchorFile::new(file)));
    // The very first commit has the keyring, so a store without a commit is a new one.
    if store.is_new().await? {
        if let Some(anchor) = anchor.as_ref().filter(|_| !options.accept_altered_store) {
            anchor.refuse_new()?;
        }
        let root = Credential::generate()?;
        hand_out_root_key(&root).map_err(SetupError::RootKey)?;
        set_up(&*store, &master, &root).await?;
    }
    // Where there is an anchor, a release that keeps digests has served the store: then it must have a digest.
    let may_begin = !anchor.as_ref().map(|anchor| anchor.is_there()).transpose()?.unwrap_or(false);
    match verify(&*store, &master, may_begin, options.accept_altered_store).await? {
        Verification::Kept => {}
        Verification::Begun => tracing::warn!(
            "the store was written by an earlier release, and now has a digest of the records that were found: rotate the \
             master key now, with `strongroom master-key rotate`, so that nobody can put an altered copy of the old store in \
             its place"
        ),
        Verification::Renewed => {
            tracing::warn!("the store was altered, and is served as it is because of --accept-altered-store")
        }
    }
    let (retention, quotas) = (options.deletion_retention, options.quotas);
    let catalog = Catalog::load(store.clone(), provider.clone(), retention, quotas).await?;
    if let Some(anchor) = &anchor {
        anchor.check(&catalog.keyring(), &catalog.digest(), options.accept_altered_store)?;
    }
    let seal_limits = options.seal_limits;
    let outbox = options.audit_log.clone().map(Outbox::new);
    let (turns, sources) = (Core::turns(), options.sources);
    let (usage, clock) = (UsageNotes::new(options.clock.clone()), options.clock);
    let freshness = Freshness::of(&store, &catalog, options.cached_reads.max_age);
    let clocks = ClockAgreement::new(clock.clone());
    let core = Core {
        store,
        catalog,
        freshness,
        ahead: AheadPlaces::default(),
        master_key: provider,
        seal_limits,
        outbox,
        turns,
        sources,
        usage,
        clock,
        clocks,
    };
    if let Err(divergence) = core.compare_with_others().await?
        && !options.accept_altered_store
    {
        return Err(SetupError::BehindOthers(divergence));
    }
    if let Some(outbox) = &core.outbox {
        outbox.open(&core, options.begin_new_audit_log).await?;
    }
    migrate(&core).await.map_err(SetupError::of_migration)?;
    core.begin_history().await.map_err(SetupError::of_history)?;
    let Options { limits, history, data_dir, audit_log, readiness, .. } = options;
    Ok(App::new(core, &limits, history, data_dir, anchor, audit_log, readiness))
}

/// Puts the keyring, the root key and its binding into the store, in one commit.
async fn set_up(store: &dyn Store, master: &MasterKeys, root: &Credential) -> Result<(), SetupError> {
    let (keyring, record) = Keyring::create(master)?;
    let home = Namespace::default_namespace();
    let root_key = ApiKey::new(&keyring, root, KeyName::root(), home, true, now(), None);
    let mut transaction = Transaction::default();
    transaction.require.push((Key::keyring(), Expect::Absent));
    transaction.put.push((Key::keyring(), record));
    transaction.put.push((Key::api_key(&root_key.id.0), root_key.seal(&keyring)?));
    transaction.put.extend(implied_access(&keyring, std::iter::once(&root_key))?);
    let put = transaction.put.iter();
    let changed: Vec<_> =
        put.map(|(key, record)| Changed { key, before: None, after: Some(record) }).collect();
    let digest = StoreDigest::default().after(&keyring, &changed, 0).seal(&keyring)?;
    transaction.put.push((Key::digest(), digest));
    match store.commit(transaction).await {
        Ok(_) => Ok(()),
        Err(CommitError::Unavailable(why)) => Err(why.into()),
        Err(
            CommitError::Conflict(_) | CommitError::TooLarge | CommitError::TooLate | CommitError::NoDigest,
        ) => Err(SetupError::Raced),
    }
}

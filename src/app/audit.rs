//! Reads the audit log, for callers who may.

use std::sync::Arc;

use tokio::sync::watch;

use super::Error;
use super::commit::Core;
use crate::audit::{NameMac, fingerprint};
use crate::auth::{Audit, List, Principal, ServiceGrant};
use crate::domain::{
    Filter, Metadata, Namespace, Order as ListOrder, OrderBy, Revision, SecretName, Start, now,
};
use crate::integrity::audit_log::{AuditLog, Hash, LogMetrics, LogState, Order, Page, Query, TreeHead};

/// The audit log of this server.
pub struct AuditRecords {
    core: Arc<Core>,
    /// `None`: the app runs without one, as tests do.
    log: Option<Arc<AuditLog>>,
}

/// A checkpoint of the log.
pub struct Checkpoint {
    /// The tree.
    pub head: TreeHead,
    /// The signed note.
    pub note: String,
    /// The key that verifies it.
    pub verifier_key: String,
}

/// The proof that a record is in a tree.
pub struct InclusionProof {
    /// The hash of the record.
    pub leaf: Hash,
    /// The hashes of the proof.
    pub hashes: Vec<Hash>,
    /// The size of the tree.
    pub size: u64,
}

/// The names of a fingerprint, as far as the caller may list them.
#[derive(Debug, Default)]
pub struct NamesOfFingerprint {
    /// The namespaces that have it.
    pub namespaces: Vec<Namespace>,
    /// The secrets whose names have it.
    pub secrets: Vec<(Namespace, SecretName)>,
}

/// How many secrets are looked at under one lock of their namespace.
const PAGE: usize = 1000;
/// How many secrets are told of one fingerprint. A name can be in many namespaces.
const MAX_SECRETS: usize = 1000;

/// Makes fingerprints with the keyring.
struct KeyringNames(Arc<Core>);

impl NameMac for KeyringNames {
    fn of_namespace(&self, namespace: &Namespace) -> [u8; 32] {
        self.0.keyring().audit_name_mac("namespace", namespace.as_str())
    }

    fn of_secret(&self, name: &SecretName) -> [u8; 32] {
        self.0.keyring().audit_name_mac("secret", name.as_str())
    }
}

impl AuditRecords {
    pub(super) fn new(core: Arc<Core>, log: Option<Arc<AuditLog>>) -> Self {
        Self { core, log }
    }

    /// Makes the fingerprints of names.
    pub fn name_mac(&self) -> Arc<dyn NameMac> {
        Arc::new(KeyringNames(self.core.clone()))
    }

    /// Each form in which a record can show a namespace: as it is, and as a fingerprint.
    pub fn forms_of_namespace(&self, text: String) -> Vec<String> {
        let mac = Namespace::parse(&text).map(|namespace| self.name_mac().of_namespace(&namespace));
        mac.ok().map(|mac| fingerprint(&mac)).into_iter().chain([text]).collect()
    }

    /// Each form in which a record can show the name of a secret.
    pub fn forms_of_name(&self, text: String) -> Vec<String> {
        let mac = SecretName::parse(&text).map(|name| self.name_mac().of_secret(&name));
        mac.ok().map(|mac| fingerprint(&mac)).into_iter().chain([text]).collect()
    }

    /// The names that have a fingerprint, of those that the caller may list. Looks at every secret that the caller may list.
    pub async fn find_names(
        &self,
        grant: &ServiceGrant<Audit>,
        fingerprint: String,
    ) -> Result<NamesOfFingerprint, Error> {
        let (core, principal) = (self.core.clone(), grant.principal().clone());
        let finding = tokio::task::spawn_blocking(move || find_names(&core, &principal, &fingerprint));
        let found =
            finding.await.map_err(|_| Error::Internal("the names of a fingerprint were not found"))?;
        self.core.confirm(grant.principal(), &[grant.granted()])?;
        Ok(found)
    }

    /// Up to `limit` records, and the size of the log.
    pub async fn list(
        &self,
        _grant: &ServiceGrant<Audit>,
        query: Query,
        order: Order,
        limit: usize,
    ) -> Result<(Page, u64), Error> {
        let log = self.log()?;
        let size = log.synced().borrow().size;
        let page = off_thread(move || log.read(&query, order, limit)).await?;
        Ok((page, size))
    }

    /// The number of the first record that is still in a file.
    pub async fn first(&self, _grant: &ServiceGrant<Audit>) -> Result<u64, Error> {
        let log = self.log()?;
        off_thread(move || log.first()).await
    }

    /// The tree that survives a crash, as it grows.
    pub fn growth(&self, _grant: &ServiceGrant<Audit>) -> Result<watch::Receiver<TreeHead>, Error> {
        Ok(self.log()?.synced())
    }

    /// The signed checkpoint of the log.
    pub fn checkpoint(&self, _grant: &ServiceGrant<Audit>) -> Result<Checkpoint, Error> {
        let (head, note, verifier_key) = self.log()?.checkpoint()?;
        Ok(Checkpoint { head, note, verifier_key })
    }

    /// The proof that a record is in the tree of this size, or in the present one.
    pub async fn inclusion_proof(
        &self,
        _grant: &ServiceGrant<Audit>,
        index: u64,
        size: Option<u64>,
    ) -> Result<InclusionProof, Error> {
        let log = self.log()?;
        let size = size_within(&log, size)?;
        if index >= size {
            return Err(Error::invalid("index", "must be less than the size of the tree"));
        }
        let (leaf, hashes) = off_thread(move || log.inclusion_proof(index, size)).await?;
        Ok(InclusionProof { leaf, hashes, size })
    }

    /// The proof that the tree of this size, or the present one, begins with an older one; and its size.
    pub async fn consistency_proof(
        &self,
        _grant: &ServiceGrant<Audit>,
        older: u64,
        size: Option<u64>,
    ) -> Result<(Vec<Hash>, u64), Error> {
        let log = self.log()?;
        let size = size_within(&log, size)?;
        if older > size {
            return Err(Error::invalid("older_size", "must be at most the size of the tree"));
        }
        Ok((off_thread(move || log.consistency_proof(older, size)).await?, size))
    }

    /// The state of the log; `None` where the app runs without one.
    pub fn state(&self) -> Option<LogState> {
        self.log.as_ref().map(|log| log.state())
    }

    /// What is measured of the log; `None`: the app runs without one.
    pub fn metrics(&self) -> Option<LogMetrics> {
        self.log.as_ref().map(|log| log.metrics())
    }

    fn log(&self) -> Result<Arc<AuditLog>, Error> {
        self.log.clone().ok_or(Error::AuditUnavailable)
    }
}

fn find_names(core: &Arc<Core>, principal: &Principal, wanted: &str) -> NamesOfFingerprint {
    let (macs, mut found) = (KeyringNames(core.clone()), NamesOfFingerprint::default());
    for catalog in core.catalog.namespaces() {
        let namespace = catalog.keys().namespace().clone();
        let granted =
            core.catalog.with_policy(|policy| policy.grant_namespace::<List>(principal, &namespace, now()));
        let Ok(grant) = granted else { continue };
        if fingerprint(&macs.of_namespace(&namespace)) == wanted {
            found.namespaces.push(namespace.clone());
        }
        let filter = Filter {
            namespace: namespace.clone(),
            prefix: "".into(),
            metadata: Metadata::default(),
            unused_since: None,
            include_deleted: true,
        };
        let order = ListOrder { by: OrderBy::Name, descending: false };
        let mut start = Start::Offset(0);
        loop {
            let (page, _, _) = catalog.page(grant.names(), &filter, order, &start, PAGE, Revision::default());
            let same =
                page.items.iter().filter(|secret| fingerprint(&macs.of_secret(&secret.name)) == wanted);
            let room = MAX_SECRETS.saturating_sub(found.secrets.len());
            found.secrets.extend(same.take(room).map(|secret| (namespace.clone(), secret.name.clone())));
            match page.next {
                Some(next) => start = Start::After(next),
                None => break,
            }
        }
    }
    found
}

fn size_within(log: &AuditLog, size: Option<u64>) -> Result<u64, Error> {
    let present = log.synced().borrow().size;
    match size {
        Some(size) if size > present => Err(Error::invalid("size", "must be at most the size of the log")),
        Some(size) => Ok(size),
        None => Ok(present),
    }
}

/// Reads files away from the threads that answer requests.
async fn off_thread<T: Send + 'static>(
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => {
            tracing::error!(%error, "the files of the audit log cannot be read");
            Err(Error::AuditUnavailable)
        }
        Err(_) => Err(Error::Internal("reading the audit log panicked")),
    }
}

//! Reads the audit log, for callers who may.

use std::sync::Arc;

use tokio::sync::watch;

use super::Error;
use crate::auth::{Audit, ServiceGrant};
use crate::integrity::audit_log::{AuditLog, Hash, LogState, Order, Page, Query, TreeHead};

/// The audit log of this server.
pub struct AuditRecords {
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

impl AuditRecords {
    pub(super) fn new(log: Option<Arc<AuditLog>>) -> Self {
        Self { log }
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

    fn log(&self) -> Result<Arc<AuditLog>, Error> {
        self.log.clone().ok_or(Error::AuditUnavailable)
    }
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

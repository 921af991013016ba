//! What was done, by whom: one record for every request that was answered, refused ones too. Never a value.

mod record;

pub use self::record::{Record, Target};

/// Where records go. A request is answered only once its record is written.
pub trait Auditor: Send + Sync {
    /// Writes a record.
    fn write(&self, record: &Record) -> Result<(), Unwritable>;
}

/// A record could not be written, so its request must not be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct Unwritable;

/// The log target that audit records are written to.
pub const TARGET: &str = "strongroom::audit";

/// Writes records to the process's log, as structured events on a target of their own.
pub struct LogAuditor;

impl Auditor for LogAuditor {
    fn write(&self, record: &Record) -> Result<(), Unwritable> {
        let Record { principal, peer, rpc, target, outcome, reason, request_id } = record;
        let (namespace, name) = (target.namespace.as_ref(), target.name.as_ref());
        tracing::info!(
            target: TARGET,
            principal = principal.as_deref(),
            peer = peer.as_deref(),
            rpc = %rpc,
            namespace = namespace.map(tracing::field::display),
            name = name.map(tracing::field::display),
            version = target.version,
            subject = target.subject.as_deref(),
            outcome = %outcome,
            reason = *reason,
            request_id = %request_id,
            "audit"
        );
        Ok(())
    }
}

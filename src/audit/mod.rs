//! The audit: one record for every request that is answered, refused ones too, and one more for each secret that the
//! references in a document read. A record never holds a value. The gate writes records before answers leave.

mod record;

use async_trait::async_trait;

pub use self::record::{Record, Target};
use crate::telemetry;

/// The destination of records. A request is answered only once its record is written.
#[async_trait]
pub trait Auditor: Send + Sync {
    /// Writes records, or fails within a bound.
    async fn write(&self, records: &[Record]) -> Result<(), Unwritable>;
}

/// A record could not be written, so the answer must not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct Unwritable;

/// Writes records to the process's log, as structured events on a target of their own.
pub struct LogAuditor;

#[async_trait]
impl Auditor for LogAuditor {
    async fn write(&self, records: &[Record]) -> Result<(), Unwritable> {
        if telemetry::written(|| records.iter().for_each(emit)).await { Ok(()) } else { Err(Unwritable) }
    }
}

fn emit(record: &Record) {
    let Record { principal, peer, rpc, target, outcome, reason, request_id } = record;
    let (namespace, name) = (target.namespace.as_ref(), target.name.as_ref());
    tracing::info!(
        target: telemetry::AUDIT,
        principal = principal.as_deref(),
        peer = peer.map(tracing::field::display),
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
}

//! The audit log: records in files, and a Merkle tree over them that nobody can change without being noticed.
//!
//! [`AuditLog`] is the log of a running server. Tasks and a thread of its own write the records, in groups, one of them at a time.
//! [`verify`] needs nothing but the files. Each server has a log of its own, which its key names. `docs/format.md`
//! describes the files, and `docs/audit.md` is the guide for operators.

mod folder;
mod log;
mod note;
mod query;
mod recorder;
#[cfg(test)]
mod tests;
mod tree;
mod verify;

pub use self::log::LogError;
pub use self::note::{LogKey, NoteError, VerifierKey};
pub use self::query::{Order, Page, Query, Stored};
pub use self::recorder::{AuditLog, LogMetrics, LogState};
pub use self::tree::{Hash, TreeHead, extends, includes, leaf_hash};
pub use self::verify::{Breach, Expected, Unsigned, Verified, VerifyError, verify};

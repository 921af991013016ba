//! What vouches for what: the digest of the store that every commit carries on, the anchor outside of the store that the digest
//! is compared with, the verification of a whole store against its digest, and the audit log with its tree.

mod anchor;
mod anchor_file;
pub mod audit_log;
mod digest;
mod heartbeat;
mod inventory;
mod lineage;
mod stored_keys;
mod verify;

pub use self::anchor::{Anchor, AnchorMismatch};
pub use self::anchor_file::{AnchorError, AnchorFile};
pub use self::digest::{DigestCarrier, Divergence, StoreDigest};
pub use self::heartbeat::Heartbeat;
pub use self::inventory::Inventory;
pub use self::lineage::ServerIdentity;
pub use self::stored_keys::{StoredKeyring, StoredNamespaceKeys};
pub use self::verify::{LoadError, Verification, verify};

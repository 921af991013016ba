//! The content of the store: its typed keys, and its records in the clear, as `docs/format.md` describes them. The
//! store below knows bytes only; `crypto` above seals the records.

mod access;
mod api_key;
mod event;
mod idempotency;
mod key;
mod rotation;
mod secret;
mod usage;

pub use self::access::{AccessEpochRecord, BindingRecord, RoleRecord};
pub use self::api_key::ApiKeyRecord;
pub use self::event::{EventRecord, HistoryStartRecord};
pub use self::idempotency::{ChangedSecretRecord, IdempotencyRecord};
pub use self::key::{Kind, NamespaceId};
pub use self::rotation::{decode_rotation, encode_rotation};
pub use self::secret::{decode_secret, encode_secret, encode_unchanged_secret};
pub use self::usage::{decode_last_use, decode_secret_usage, encode_last_use, encode_secret_usage};

//! The sealed forms, and the keys that seal them.
//!
//! The master key seals the keyring. The keyring's keys seal API keys, idempotency records and namespaces. A
//! namespace's keys seal its secrets and wrap the data keys of their versions. A version's own data key seals its
//! value. Every seal is bound to its [`Place`], so that a ciphertext opens nowhere else.

mod aead;
mod backup;
mod envelope;
mod event;
mod field_reader;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod generation;
mod key_pair;
mod keyring;
mod master_key;
mod namespace_keys;
mod private_file;
mod secret;
mod token_signature;
mod usage;
#[cfg(test)]
mod vectors;
mod wrap;

pub use self::aead::{
    Digest, Error, KeyBytes, Mac, MacKey, Opened, PublicKey, Signature, SigningKey, random, sha256,
};
pub use self::backup::{About, BackupCheck, BackupError, BackupOpener, BackupSealer, MAX_PART};
pub use self::envelope::{
    Place, Purpose, SealingKey, data_key_digest, is_of_first_format, record_seal, value_seal, value_size,
};
pub use self::event::{
    former_metadata, open_event, open_history_start, pair_digest, reseal_event, seal_event,
    seal_history_start,
};
pub use self::field_reader::FieldReader;
pub use self::key_pair::KeyPairPem;
pub use self::keyring::Keyring;
pub use self::master_key::{CommandError, KeyId, MasterKey, MasterKeyError, MasterKeyProvider, MasterKeys};
pub use self::namespace_keys::NamespaceKeys;
pub use self::private_file::{open_to_others, unfinished, write_private};
pub use self::secret::{open_secret, reseal_secret, seal_secret};
pub use self::token_signature::verify_tokens_with_ring;
pub use self::usage::{
    open_binding_usage, open_key_usage, open_secret_usage, seal_binding_usage, seal_key_usage,
    seal_secret_usage,
};
pub use self::wrap::OpenedKeyring;
pub use crate::config::MasterKeySource;

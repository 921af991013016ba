//! The access epoch: a small record that every change of who may do what writes again. A commit that requires the epoch as it was
//! finds the keys, roles and bindings as they were.

use prost::Message;

use crate::crypto::{Error, Keyring, Purpose};
use crate::domain::Revision;
use crate::schema::AccessEpochRecord;

/// The access epoch as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccessEpoch {
    /// How many changes of who may do what there have been.
    pub changes: u64,
    /// The store's revision of its record.
    pub revision: Revision,
}

impl AccessEpoch {
    const ID: &[u8] = b"access epoch";

    /// The epoch after one more change. It is not in the store yet.
    pub fn next(self) -> Self {
        Self { changes: self.changes.saturating_add(1), revision: Revision::default() }
    }

    /// The sealed record of the epoch.
    pub fn seal(self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        let record = AccessEpochRecord { changes: self.changes };
        keyring.seal(Purpose::AccessEpoch, Self::ID, &record.encode_to_vec())
    }

    /// Opens the sealed record that the commit with this revision put there. Fails with [`Error::Integrity`] where the keyring did
    /// not seal it.
    pub fn open(keyring: &Keyring, sealed: &[u8], revision: Revision) -> Result<Self, Error> {
        let clear = keyring.open_record(Purpose::AccessEpoch, Self::ID, sealed)?;
        let record = AccessEpochRecord::decode(clear.as_slice()).map_err(|_| Error::Integrity)?;
        Ok(Self { changes: record.changes, revision })
    }
}

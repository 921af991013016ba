use std::sync::Arc;

use super::{Key, MAX_RECORD, Unavailable};

/// One step of what a store is replaced by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplaceRecord {
    /// This value stands at the key.
    Put(Key, Vec<u8>),
    /// Nothing stands at the key.
    Delete(Key),
}

impl ReplaceRecord {
    /// Its key.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Put(key, value) => key.as_bytes().len() + value.len(),
            Self::Delete(key) => key.as_bytes().len(),
        }
    }

    /// Whether a store takes it.
    pub(super) fn fits(&self) -> bool {
        matches!(self, Self::Delete(_)) || self.size() <= MAX_RECORD
    }
}

/// What a store is replaced by, in order. To ask for the next one can take as long as reading a file does. An error ends
/// it, and nothing is replaced.
pub type ReplaceRecords = Box<dyn Iterator<Item = Result<ReplaceRecord, Unreadable>> + Send>;

/// A record that should have replaced another could not be read. Says why, without any key or value.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub Arc<str>);

/// Why a store was not replaced. It has what it had before, unless the outcome is not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReplaceError {
    /// The records could not be read to their end.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A record is larger than [`MAX_RECORD`].
    #[error("a record is larger than the store takes")]
    TooLarge,
    /// The store can not serve; whether it was replaced is not known until it can again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

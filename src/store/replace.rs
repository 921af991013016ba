use std::sync::Arc;

use super::{Key, MAX_RECORD, Unavailable};

/// One step of a replacement: a restore is a sequence of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplaceRecord {
    /// Stores this value at the key.
    Put(Key, Vec<u8>),
    /// Removes the key.
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

    /// Whether it is within the limits of a store.
    pub(super) fn fits(&self) -> bool {
        matches!(self, Self::Delete(_)) || self.size() <= MAX_RECORD
    }
}

/// The steps of a replacement, in order. The next step may take as long as a read from a file. An error ends the
/// sequence, and nothing is replaced.
pub type ReplaceRecords = Box<dyn Iterator<Item = Result<ReplaceRecord, Unreadable>> + Send>;

/// A record of a replacement could not be read. The text says why, without any key or value.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub Arc<str>);

/// Why a store was not replaced. It keeps its former content, unless the outcome is not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReplaceError {
    /// The sequence of records ended early.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A record is larger than [`MAX_RECORD`].
    #[error("a record is larger than the store takes")]
    TooLarge,
    /// The store cannot serve. Whether it was replaced is not known until it serves again.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

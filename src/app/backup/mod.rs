//! Backups: all records of the store as they are sealed, at one revision, sealed once more as a file of their own.
//!
//! A backup is made while others write. The store is scanned page by page, and the changes that are made meanwhile are put
//! behind each page; whoever puts all of it into an empty store, in order, has the state of the revision that the backup
//! ends at.

mod restore;
#[cfg(test)]
mod tests;
mod verify;
mod write;

use std::io::{Read, Seek, SeekFrom};

use prost::Message;

pub use self::restore::{Progress, Restore, RestoreOptions, Restored};
pub use self::write::Chunk;
use crate::crypto::{BackupError, BackupOpener, MasterKeys};
use crate::store::{Key, ReplaceRecord};

/// A part of a backup, in the clear.
#[derive(Clone, PartialEq, prost::Message)]
struct Part {
    /// Records, later ones winning over earlier ones of the same key.
    #[prost(message, repeated, tag = "1")]
    records: Vec<PartRecord>,
    /// In the last part, and only there.
    #[prost(message, optional, tag = "2")]
    end: Option<End>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartRecord {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    /// Absent: nothing stands at the key.
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct End {
    /// The revision that the records are of.
    #[prost(uint64, tag = "1")]
    revision: u64,
    /// How many records there are in all parts.
    #[prost(uint64, tag = "2")]
    records: u64,
}

/// The records of a backup in order, and then its end.
struct Reader<R> {
    opener: BackupOpener<R>,
    ready: std::vec::IntoIter<PartRecord>,
    read: u64,
    end: Option<End>,
}

impl<R: Read + Seek> Reader<R> {
    fn open(master: &MasterKeys, mut from: R) -> Result<Self, BackupError> {
        from.seek(SeekFrom::Start(0)).map_err(|error| BackupError::Unreadable(error.kind()))?;
        let opener = BackupOpener::begin(master, from)?;
        Ok(Self { opener, ready: Vec::new().into_iter(), read: 0, end: None })
    }

    /// The next record; `None` at the end, which is then known.
    fn next_record(&mut self) -> Result<Option<ReplaceRecord>, BackupError> {
        loop {
            if let Some(PartRecord { key, value }) = self.ready.next() {
                self.read += 1;
                let key = Key::from_bytes(&key);
                return Ok(Some(value.map_or_else(
                    || ReplaceRecord::Delete(key.clone()),
                    |value| ReplaceRecord::Put(key.clone(), value),
                )));
            }
            let Some(part) = self.opener.next_part()? else {
                let whole = self.end.is_some_and(|end| end.records == self.read);
                return if whole { Ok(None) } else { Err(BackupError::Damaged) };
            };
            let Part { records, end } = Part::decode(part.as_slice()).map_err(|_| BackupError::Damaged)?;
            if self.end.is_some() {
                return Err(BackupError::Damaged);
            }
            (self.ready, self.end) = (records.into_iter(), end);
        }
    }
}

/// Bytes as the only part of a backup, in the clear: an entry for `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzing(masters: &MasterKeys, part: &[u8]) {
    use crate::crypto::{About, BackupSealer};
    use crate::integrity::StoreDigest;
    let Ok((mut sealer, mut backup)) = BackupSealer::begin(masters, About { created_at: 1, revision: 1 })
    else {
        return;
    };
    let Ok(sealed) = sealer.seal(part, true) else { return };
    backup.extend(sealed);
    let _ = verify::verify(masters, &StoreDigest::default(), std::io::Cursor::new(backup), |_, _| {});
}

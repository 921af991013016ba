//! The parts of a backup in the clear, as `docs/format.md` describes them, and their reader.

use std::io::{Read, Seek, SeekFrom};

use prost::Message;

use crate::crypto::{BackupError, BackupOpener, MasterKeys};
use crate::store::{Key, ReplaceRecord};

/// A part of a backup in the clear.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BackupPart {
    /// Records. A later record of a key replaces an earlier one.
    #[prost(message, repeated, tag = "1")]
    pub(super) records: Vec<BackupRecord>,
    /// In the last part, and only there.
    #[prost(message, optional, tag = "2")]
    pub(super) end: Option<BackupEnd>,
}

/// A key of the store, and what stands at it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BackupRecord {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    /// Absent: nothing stands at the key.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) value: Option<Vec<u8>>,
}

/// The end of a backup.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct BackupEnd {
    /// The revision that the records are of.
    #[prost(uint64, tag = "1")]
    pub(super) revision: u64,
    /// How many records all parts have.
    #[prost(uint64, tag = "2")]
    pub(super) records: u64,
}

/// Reads the records of a backup in order, and then its end.
pub(super) struct BackupReader<R> {
    opener: BackupOpener<R>,
    ready: std::vec::IntoIter<BackupRecord>,
    read: u64,
    end: Option<BackupEnd>,
}

impl<R: Read + Seek> BackupReader<R> {
    /// Begins at the first byte.
    pub(super) fn open(master: &MasterKeys, mut from: R) -> Result<Self, BackupError> {
        from.seek(SeekFrom::Start(0)).map_err(|error| BackupError::Unreadable(error.kind()))?;
        let opener = BackupOpener::begin(master, from)?;
        Ok(Self { opener, ready: Vec::new().into_iter(), read: 0, end: None })
    }

    /// The next record; `None` at the end. Fails where the backup ends without as many records as its end says.
    pub(super) fn next_record(&mut self) -> Result<Option<ReplaceRecord>, BackupError> {
        loop {
            if let Some(BackupRecord { key, value }) = self.ready.next() {
                self.read += 1;
                let key = Key::from_bytes(&key);
                return Ok(Some(match value {
                    Some(value) => ReplaceRecord::Put(key, value),
                    None => ReplaceRecord::Delete(key),
                }));
            }
            let Some(part) = self.opener.next_part()? else {
                let whole = self.end.is_some_and(|end| end.records == self.read);
                return if whole { Ok(None) } else { Err(BackupError::Damaged) };
            };
            let part = BackupPart::decode(part.as_slice()).map_err(|_| BackupError::Damaged)?;
            if self.end.is_some() {
                return Err(BackupError::Damaged);
            }
            (self.ready, self.end) = (part.records.into_iter(), part.end);
        }
    }

    /// The end of the backup; `None` before it was read.
    pub(super) fn end(&self) -> Option<BackupEnd> {
        self.end
    }
}

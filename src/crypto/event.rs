//! The sealed records of the history, under keys of the keyring of their own. Where an event stands is not known when it is
//! sealed, so its seal is not bound to its position.

use prost::Message;

use super::aead::{Error, sha256};
use super::envelope::Purpose;
use super::keyring::Keyring;
use crate::domain::{FormerMetadata, Metadata, NewEvent, PairDigest, Revision};
use crate::schema::{EventRecord, HistoryStartRecord, NamespaceId};

const EVENT: &[u8] = b"event";
const HISTORY_START: &[u8] = b"history start";

/// The sealed record of an event.
pub fn seal_event(keyring: &Keyring, namespace: NamespaceId, event: &NewEvent<'_>) -> Result<Vec<u8>, Error> {
    keyring.seal(Purpose::Event, EVENT, &EventRecord::new(namespace, event).encode_to_vec())
}

/// The record of an event in the clear.
pub fn open_event(keyring: &Keyring, sealed: &[u8]) -> Result<EventRecord, Error> {
    let clear = keyring.open_record(Purpose::Event, EVENT, sealed)?;
    EventRecord::decode(clear.as_slice()).map_err(|_| Error::Integrity)
}

/// The record of an event, sealed by the newest generation. `stored_at` is the revision that put it where it stands.
pub fn reseal_event(keyring: &Keyring, sealed: &[u8], stored_at: Revision) -> Result<Vec<u8>, Error> {
    let record = open_event(keyring, sealed)?.kept(stored_at);
    keyring.seal(Purpose::Event, EVENT, &record.encode_to_vec())
}

/// The sealed record of the start of the history; without a revision, the history starts with the commit that puts it.
pub fn seal_history_start(keyring: &Keyring, revision: Option<Revision>) -> Result<Vec<u8>, Error> {
    let record = HistoryStartRecord { after: revision.map(|revision| revision.0) };
    keyring.seal(Purpose::HistoryStart, HISTORY_START, &record.encode_to_vec())
}

/// The revision up to which events are no longer kept. `stored_at` is the revision that put the record there.
pub fn open_history_start(keyring: &Keyring, sealed: &[u8], stored_at: Revision) -> Result<Revision, Error> {
    let clear = keyring.open_record(Purpose::HistoryStart, HISTORY_START, sealed)?;
    let record = HistoryStartRecord::decode(clear.as_slice()).map_err(|_| Error::Integrity)?;
    Ok(record.revision(stored_at))
}

/// The digest of a pair of metadata: the first 16 bytes of the SHA-256 of the length of the key (4 bytes, big-endian), the
/// key, and the value.
pub fn pair_digest(key: &str, value: &str) -> PairDigest {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes();
    let digest = sha256(&[&length, key.as_bytes(), value.as_bytes()]);
    digest.first_chunk().copied().unwrap_or_default()
}

/// The digests of the pairs of metadata.
pub fn former_metadata(metadata: &Metadata) -> FormerMetadata {
    FormerMetadata::new(metadata.iter().map(|(key, value)| pair_digest(key, value)).collect())
}

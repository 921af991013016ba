//! Entries for `crate::fuzzing`: any bytes are read without a panic.

use prost::Message;

use super::backup;
use super::secret::PageToken;
use crate::crypto::{Keyring, MasterKeys};
use crate::domain::{Namespace, OrderBy, Revision};
use crate::schema::IdempotencyRecord;

const MAC: [u8; 32] = [9; 32];

/// Bytes as a sealed idempotency record.
pub fn sealed_idempotency_record(keyring: &Keyring, bytes: &[u8]) {
    assert!(IdempotencyRecord::open(keyring, &MAC, bytes).is_err());
}

/// Bytes as an idempotency record and as a page token, in the clear.
pub fn clear(keyring: &Keyring, bytes: &[u8]) {
    let sealed = keyring.seal(crate::crypto::Purpose::IdempotencyRecord, &MAC, bytes).unwrap_or_default();
    if let Ok(record) = IdempotencyRecord::open(keyring, &MAC, &sealed) {
        let _ = record.outcome(&Namespace::default_namespace(), record.revision(Revision(9)), None);
    }
    for by in [OrderBy::Name, OrderBy::CreatedAt, OrderBy::UpdatedAt] {
        let _ = PageToken::decode(bytes).ok().and_then(|token| token.cursor(by));
    }
}

/// Bytes as the only part of a backup, in the clear.
pub fn backup(masters: &MasterKeys, bytes: &[u8]) {
    backup::fuzzing(masters, bytes);
}

//! What is put into the index.

use std::time::Duration;

use super::packed::PackedSecret;
use crate::domain::{Secret, Timestamp};
use crate::limits::Amount;

/// A secret with what the index has to know of it. It is made without the index's lock.
pub(in crate::catalog) struct IndexEntry {
    pub(super) packed: PackedSecret,
    /// When the service has something to do about the secret.
    pub(super) due_at: Option<Timestamp>,
    /// From when on workers can claim its rotation.
    pub(super) claimable_at: Option<Timestamp>,
    /// What it takes of a quota.
    pub(super) taken: Amount,
}

impl IndexEntry {
    /// The entry of a secret that is kept for so long once it has expired. `None` where no record holds such a secret.
    pub(in crate::catalog) fn of(secret: &Secret, retention: Duration) -> Option<Self> {
        Some(Self {
            packed: PackedSecret::of(secret)?,
            due_at: secret.next_due(retention),
            claimable_at: secret.claimable_at(),
            taken: Amount::of(secret),
        })
    }
}

//! How much a key may seal before it is replaced.

use super::Error;
use super::commit::Core;
use crate::store::Unavailable;

/// How much a key may seal. A nonce has 96 random bits: if one key makes 2^32 seals, two of them have the same nonce with a
/// probability below 2^-32 (NIST SP 800-38D, 8.3).
#[derive(Debug, Clone, Copy)]
pub struct SealLimits {
    /// After how many seals the service replaces a key by itself.
    pub rekey_at: u64,
    /// After how many seals a key seals nothing more until it is replaced.
    pub refuse_at: u64,
}

impl Default for SealLimits {
    fn default() -> Self {
        Self { rekey_at: 1 << 30, refuse_at: 1 << 32 }
    }
}

impl Core {
    /// Whether the service is to replace a key. `since` is how many seals the store had seen when the key was made.
    pub(super) fn is_due_for_rekey(&self, since: u64) -> bool {
        self.seals_since(since) >= self.seal_limits.rekey_at
    }

    /// Fails where a key must not seal any more.
    pub(super) fn refuse_spent(&self, since: u64) -> Result<(), Error> {
        if self.seals_since(since) < self.seal_limits.refuse_at {
            return Ok(());
        }
        Err(Unavailable("one of its keys has sealed as much as it may, and must be replaced first".into())
            .into())
    }

    /// How many seals a key has made, at most: every seal in the store since then counts, whichever key made it.
    pub(super) fn seals_since(&self, since: u64) -> u64 {
        self.catalog.digest().seals.saturating_sub(since)
    }
}

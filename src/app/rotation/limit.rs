use crate::app::{App, Error};
use crate::store::Unavailable;

/// How much a key may seal. A nonce has 96 random bits, so of 2^32 seals by one key two have the same with a probability
/// below 2^-32 (NIST SP 800-38D, 8.3).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// After how many seals a key is rotated by itself.
    pub rotate_at: u64,
    /// After how many it seals nothing more until it was.
    pub refuse_at: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rotate_at: 1 << 30, refuse_at: 1 << 32 }
    }
}

impl App {
    /// Whether a key that was made when the store had seen so many seals is to be rotated.
    pub(super) fn is_due(&self, since: u64) -> bool {
        self.seals_since(since) >= self.limits.rotate_at
    }

    /// Fails where such a key must not seal any more.
    pub(in crate::app) fn refuse_spent(&self, since: u64) -> Result<(), Error> {
        if self.seals_since(since) < self.limits.refuse_at {
            return Ok(());
        }
        Err(Unavailable("a key of it has sealed as much as it may, and is to be rotated first".into()).into())
    }

    /// All seals of the store count for each key: those of one key are at most as many.
    fn seals_since(&self, since: u64) -> u64 {
        self.catalog.digest().seals.saturating_sub(since)
    }
}

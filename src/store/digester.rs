use std::fmt;

use super::Key;

/// Keeps one record, the digest, in step with the others: it stands at [`Key::digest`], and is rewritten by every commit, or once by
/// those that are made together. Then it is asked of one of their digesters: what any of those that carry a digest on makes of
/// it, the others carry on too, where what the transactions require holds.
pub trait Digester: Send + Sync {
    /// Whether the digest depends on what stands at a key. What stood there before is looked up only then.
    fn covers(&self, key: &Key) -> bool;

    /// Whether it carries on what the digest is now. Where it does not, its commit is refused.
    fn carries_on(&self, digest: &[u8]) -> bool;

    /// The digest after a commit, from what it is before and from all that the commit changes. `None` where that can not
    /// be said: the commit is then refused.
    fn after(&self, before: &[u8], changed: &[Changed<'_>]) -> Option<Vec<u8>>;
}

/// What a commit does at a key.
pub struct Changed<'a> {
    /// The key.
    pub key: &'a Key,
    /// What stands there before it, where the digest covers the key.
    pub before: Option<&'a [u8]>,
    /// What stands there after it.
    pub after: Option<&'a [u8]>,
}

impl fmt::Debug for dyn Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digester")
    }
}

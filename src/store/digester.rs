use std::fmt;

use super::Key;

/// Keeps one record, the digest, in step with all others. It stands at [`Key::digest`], and every commit rewrites
/// it. Transactions that are committed together rewrite it once, by the digester of one of them; the others accept
/// that digest.
pub trait Digester: Send + Sync {
    /// Whether the digest depends on the record at a key. Only then is the former record looked up.
    fn covers(&self, key: &Key) -> bool;

    /// Whether this digester accepts the present digest as its starting point. If not, the commit is refused.
    fn carries_on(&self, digest: &[u8]) -> bool;

    /// The digest after a commit, from the present digest, all records that the commit changes, and the number of records
    /// that it appends. `None` where it cannot be computed: the commit is then refused.
    fn after(&self, before: &[u8], changed: &[Changed<'_>], appended: usize) -> Option<NextDigest>;
}

/// The digest after a commit.
pub struct NextDigest {
    /// Its record.
    pub record: Vec<u8>,
    /// The position of the commit among all commits with a digester: greater than that of every commit before it. The keys of
    /// the records that the commit appends begin with it.
    pub position: u64,
}

/// The change of a commit at one key.
pub struct Changed<'a> {
    /// The key.
    pub key: &'a Key,
    /// The record before the commit, where the digest covers the key.
    pub before: Option<&'a [u8]>,
    /// The record after the commit.
    pub after: Option<&'a [u8]>,
}

impl fmt::Debug for dyn Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digester")
    }
}

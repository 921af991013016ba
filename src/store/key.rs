//! A key as the store sees it: bytes. What the bytes mean is the schema's to say, but for two keys: the first byte 0
//! belongs to the engines, and the digest stands at a key that the store itself rewrites with each commit.

/// A key of the store: bytes, in whose order entries are scanned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(Vec<u8>);

impl Key {
    /// The key of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The empty prefix, with which every key begins.
    pub fn all() -> Self {
        Self(Vec::new())
    }

    /// Where the digest stands: see [`Digester`](super::Digester).
    pub fn digest() -> Self {
        Self(vec![b'd'])
    }
}

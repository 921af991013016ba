//! A key as the store sees it: bytes. What the bytes mean is the schema's to say, with these exceptions: the first byte 0
//! belongs to the engines, the digest stands at a key that the store itself rewrites with each commit, and the store makes
//! the keys of the records that transactions append.

/// A key of the store: bytes, in whose order entries are scanned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(Vec<u8>);

impl Key {
    /// The key of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The key of these bytes, which it takes.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(bytes)
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

    /// The prefix of all appended records.
    pub fn appended() -> Self {
        Self(vec![b'f'])
    }

    /// Where an appended record stands: see [`Transaction::append`](super::Transaction::append). `index` counts the records
    /// of one commit.
    pub fn appended_at(position: u64, index: u16) -> Self {
        Self([b"f".as_slice(), &position.to_be_bytes(), &index.to_be_bytes()].concat())
    }

    /// The position of an appended record; `None` where no appended record has this key.
    pub fn appended_position(&self) -> Option<u64> {
        let (position, index) = self.0.strip_prefix(b"f")?.split_first_chunk()?;
        (index.len() == 2).then(|| u64::from_be_bytes(*position))
    }
}

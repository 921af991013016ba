//! A key as the store sees it: bytes. What the bytes mean is the schema's to say, with these exceptions: the first byte 0
//! belongs to the engines, the digest stands at a key that the store itself rewrites with each commit, and the store makes
//! the keys of the records that transactions append.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// A key of the store: bytes, in whose order entries are scanned.
#[derive(Clone)]
pub struct Key(KeyForm);

/// Every key of the schema is short. A change has dozens of keys on its way, and a block of memory for each would cost more than
/// the bytes.
#[derive(Clone)]
enum KeyForm {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

/// The largest length of a short key, in bytes.
const SHORT: usize = 54;

impl Key {
    /// The key of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_parts(&[bytes])
    }

    /// The key of these bytes, one part after the other.
    pub fn from_parts(parts: &[&[u8]]) -> Self {
        Self::short(parts).unwrap_or_else(|| Self(KeyForm::Long(parts.concat().into())))
    }

    fn short(parts: &[&[u8]]) -> Option<Self> {
        let (mut bytes, mut length) = ([0; SHORT], 0);
        for part in parts {
            let end = length + part.len();
            bytes.get_mut(length..end)?.copy_from_slice(part);
            length = end;
        }
        Some(Self(KeyForm::Short { length: u8::try_from(length).ok()?, bytes }))
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            KeyForm::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            KeyForm::Long(bytes) => bytes,
        }
    }

    /// The empty prefix, with which every key begins.
    pub fn all() -> Self {
        Self::from_parts(&[])
    }

    /// Where the digest stands: see [`Digester`](super::Digester).
    pub fn digest() -> Self {
        Self::from_bytes(b"d")
    }

    /// The prefix of all appended records.
    pub fn appended() -> Self {
        Self::from_bytes(b"f")
    }

    /// Where an appended record stands: see [`Transaction::append`](super::Transaction::append). `index` counts the records
    /// of one commit.
    pub fn appended_at(position: u64, index: u16) -> Self {
        Self::from_parts(&[b"f", &position.to_be_bytes(), &index.to_be_bytes()])
    }

    /// The position of an appended record; `None` where no appended record has this key.
    pub fn appended_position(&self) -> Option<u64> {
        let (position, index) = self.as_bytes().strip_prefix(b"f")?.split_first_chunk()?;
        (index.len() == 2).then(|| u64::from_be_bytes(*position))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.as_bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_bytes_and_their_order_whatever_its_length() {
        let bytes: Vec<u8> = (0..200).collect();
        let keys: Vec<_> = (0..=bytes.len()).map(|length| Key::from_bytes(&bytes[..length])).collect();
        for (length, key) in keys.iter().enumerate() {
            assert_eq!(key.as_bytes(), &bytes[..length]);
            let (first, second) = bytes[..length].split_at(length / 3);
            assert_eq!(&Key::from_parts(&[first, second]), key);
        }
        assert!(keys.is_sorted_by(|before, after| before < after));
        assert!(Key::from_bytes(&[1]) > Key::from_bytes(&[0; 100]), "the bytes count before the length");
    }
}

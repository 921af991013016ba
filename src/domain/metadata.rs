//! The metadata of a secret: pairs of a key and a value, by which lists can be filtered.

use std::collections::BTreeMap;
use std::fmt;

use super::Invalid;

/// A secret's metadata: at most 64 pairs, in key order, each key once. Keys have 1 to 128 bytes, values at most 512 bytes.
///
/// Kept as one text, which has all keys and values in turn. Before each stands its length in bytes, as the character with that number.
/// Texts of their own would take several times the memory, and a look at each costs a cache miss.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Metadata(Box<str>);

impl Metadata {
    const MAX_PAIRS: usize = 64;
    const MAX_KEY: usize = 128;
    const MAX_VALUE: usize = 512;

    /// Checks the pairs against the limits.
    pub fn parse(pairs: BTreeMap<String, String>) -> Result<Self, Invalid> {
        if pairs.len() > Self::MAX_PAIRS {
            return Err(Invalid::new("must have at most 64 pairs"));
        }
        if pairs.keys().any(|key| key.is_empty() || key.len() > Self::MAX_KEY) {
            return Err(Invalid::new("must have keys of 1 to 128 bytes"));
        }
        if pairs.values().any(|value| value.len() > Self::MAX_VALUE) {
            return Err(Invalid::new("must have values of at most 512 bytes"));
        }
        Ok(pairs.into())
    }

    /// The pairs, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        Self::pairs_of(&self.0)
    }

    /// The text that the pairs are kept as.
    pub fn as_packed(&self) -> &str {
        &self.0
    }

    /// The metadata that is kept as this text, which [`Metadata::as_packed`] gave.
    pub fn from_packed(text: &str) -> Self {
        Self(text.into())
    }

    /// The pairs of the metadata that is kept as this text, in key order.
    pub fn pairs_of(packed: &str) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = packed;
        std::iter::from_fn(move || {
            let (key, after) = first_part(rest)?;
            let (value, after) = first_part(after)?;
            rest = after;
            Some((key, value))
        })
    }

    /// The metadata with this pair, in place of one that has the same key.
    pub fn with(&self, key: &str, value: &str) -> Result<Self, Invalid> {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self::parse(self.iter().chain([(key, value)]).map(owned).collect())
    }

    /// The metadata without the pair of this key.
    pub fn without(&self, key: &str) -> Self {
        let others = self.iter().filter(|(present, _)| *present != key);
        others.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Whether the metadata has this key with this value.
    pub fn has(&self, key: &str, value: &str) -> bool {
        self.iter().any(|pair| pair == (key, value))
    }
}

/// Does not check the limits. Of several values for the same key, the last one stays.
impl FromIterator<(String, String)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        BTreeMap::from_iter(pairs).into()
    }
}

/// Does not check the limits.
impl From<BTreeMap<String, String>> for Metadata {
    fn from(pairs: BTreeMap<String, String>) -> Self {
        // A text of a megabyte has a length that is no character. No record is that large.
        let lengths = |(key, value): (&String, &String)| Some((length_of(key)?, length_of(value)?));
        let parts = || pairs.iter().filter_map(|pair| Some((lengths(pair)?, pair)));
        let size = |((of_key, of_value), (key, value)): ((char, char), (&String, &String))| {
            of_key.len_utf8() + key.len() + of_value.len_utf8() + value.len()
        };
        // As large as it has to be at once: what is cut off from a larger one would be a hole in memory.
        let mut text = String::with_capacity(parts().map(size).sum());
        for ((of_key, of_value), (key, value)) in parts() {
            text.push(of_key);
            text.push_str(key);
            text.push(of_value);
            text.push_str(value);
        }
        Self(text.into())
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The numbers that no character has.
const SURROGATES: std::ops::Range<usize> = 0xd800..0xe000;

/// The length of a text as a character: the one with that number, past those numbers that no character has.
fn length_of(text: &str) -> Option<char> {
    let length = text.len();
    let number = if length < SURROGATES.start { length } else { length + SURROGATES.len() };
    char::from_u32(u32::try_from(number).ok()?)
}

/// The first key or value, and what comes after it.
fn first_part(text: &str) -> Option<(&str, &str)> {
    let mut characters = text.chars();
    let number = characters.next()? as usize;
    let length = if number < SURROGATES.start { number } else { number - SURROGATES.len() };
    characters.as_str().split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_pairs_are_those_that_were_given(
            pairs in proptest::collection::btree_map(".{0,40}", ".{0,300}", 0..8),
            probe in ".{0,3}",
        ) {
            let metadata: Metadata = pairs.clone().into_iter().collect();
            let found: Vec<_> = metadata.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(&found, &pairs.clone().into_iter().collect::<Vec<_>>());
            for (key, value) in &pairs {
                prop_assert!(metadata.has(key, value));
            }
            prop_assert_eq!(metadata.has(&probe, &probe), pairs.get(&probe) == Some(&probe));
        }
    }

    #[test]
    fn a_length_can_be_any_number() {
        for length in [0, 1, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdfff, 0xe000, 0x1_0000, 0x4_0000] {
            let pair = ("k".to_owned(), "x".repeat(length));
            let metadata: Metadata = [pair.clone(), ("z".to_owned(), "ü".to_owned())].into_iter().collect();
            let pairs: Vec<_> = metadata.iter().collect();
            assert_eq!(pairs, [("k", pair.1.as_str()), ("z", "ü")], "{length}");
        }
    }
}

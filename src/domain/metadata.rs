//! The metadata of a secret: pairs of a key and a value, by which lists can be filtered.

use std::collections::BTreeMap;

use super::Invalid;

/// A secret's metadata: at most 64 pairs, in key order, each key once. Keys have 1 to 128 bytes, values at most 512 bytes.
///
/// Kept as a sorted slice: a map would take several times the memory for the few pairs that a secret has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Metadata(Box<[(Box<str>, Box<str>)]>);

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
        Ok(pairs.into_iter().collect())
    }

    /// The pairs, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
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
        let found = self.0.binary_search_by(|(present, _)| (**present).cmp(key));
        found.ok().and_then(|at| self.0.get(at)).is_some_and(|(_, present)| &**present == value)
    }
}

/// Does not check the limits. Of several values for the same key, the last one stays.
impl FromIterator<(String, String)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let ordered: BTreeMap<String, String> = pairs.into_iter().collect();
        Self(ordered.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

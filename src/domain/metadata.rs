use std::collections::BTreeMap;

use super::Invalid;

/// The pairs attached to a secret, in key order: at most 64, keys of 1 to 128 bytes, values of at most 512 bytes.
///
/// A sorted slice: a map would take several times the memory for the few pairs that secrets have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Metadata(Box<[(Box<str>, Box<str>)]>);

impl Metadata {
    const MAX_PAIRS: usize = 64;
    const MAX_KEY: usize = 128;
    const MAX_VALUE: usize = 512;

    /// The pairs, when they are within the limits.
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

    /// Whether this very pair is there.
    pub fn has(&self, key: &str, value: &str) -> bool {
        let found = self.0.binary_search_by(|(there, _)| (**there).cmp(key));
        found.ok().and_then(|at| self.0.get(at)).is_some_and(|(_, there)| &**there == value)
    }
}

/// From a map: its keys are in order and unique.
impl FromIterator<(String, String)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let ordered: BTreeMap<String, String> = pairs.into_iter().collect();
        Self(ordered.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

//! Pairs of metadata, written KEY=VALUE.

use std::collections::BTreeMap;

use strongroom_client::v1;

use super::failure::Failure;
use super::output::printable;

/// Reads a pair from an argument.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The pairs as a map. A key that is given twice is refused: one of its values would be lost without a word.
pub(super) fn map(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        if map.contains_key(&key) {
            let key = printable(&key);
            return Err(Failure::usage(format!("--metadata {key}=… is given twice: give each key once")));
        }
        map.insert(key, value);
    }
    Ok(map)
}

/// The pairs of a secret, in the order of their keys.
pub(super) fn shown(secret: &v1::Secret) -> String {
    let pairs: Vec<_> = secret.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(" ")
}

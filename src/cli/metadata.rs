//! Pairs of metadata, written KEY=VALUE.

use strongroom_client::v1;

/// Reads a pair from an argument.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The pairs of a secret, in the order of their keys.
pub(super) fn shown(secret: &v1::Secret) -> String {
    let pairs: Vec<_> = secret.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(" ")
}

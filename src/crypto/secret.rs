//! The sealed record of a secret, under the keys of its namespace.

use super::aead::Error;
use super::envelope::Purpose;
use super::namespace_keys::NamespaceKeys;
use crate::domain::{Revision, Secret, SecretId};
use crate::schema::{decode_secret, encode_secret, encode_unchanged_secret};

/// The sealed record of a secret, without its value, which is changed with it.
pub fn seal_secret(keys: &NamespaceKeys, secret: &Secret) -> Result<Vec<u8>, Error> {
    keys.seal(Purpose::Secret, secret.id.as_bytes(), &encode_secret(secret))
}

/// The same, where the secret is not changed by it: it keeps the revision of its last change, and so its etag.
pub fn reseal_secret(keys: &NamespaceKeys, secret: &Secret) -> Result<Vec<u8>, Error> {
    keys.seal(Purpose::Secret, secret.id.as_bytes(), &encode_unchanged_secret(secret))
}

/// The secret in a sealed record, which a commit of that revision put at the secret's id.
pub fn open_secret(
    keys: &NamespaceKeys,
    id: SecretId,
    sealed: &[u8],
    revision: Revision,
) -> Result<Secret, Error> {
    let clear = keys.open_record(Purpose::Secret, id.as_bytes(), sealed)?;
    decode_secret(keys.namespace(), id, &clear, revision).ok_or(Error::Integrity)
}

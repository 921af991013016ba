//! The sealed records of usage, under keys of the keyring of their own.

use super::aead::Error;
use super::envelope::Purpose;
use super::keyring::Keyring;
use crate::domain::{Minute, SecretId, SecretUsage};
use crate::schema::{
    NamespaceId, decode_last_use, decode_secret_usage, encode_last_use, encode_secret_usage,
};

/// The sealed record of a secret's usage.
pub fn seal_secret_usage(
    keyring: &Keyring,
    (namespace, id): (NamespaceId, SecretId),
    usage: &SecretUsage,
) -> Result<Vec<u8>, Error> {
    keyring.seal(Purpose::SecretUsage, &place(namespace, id), &encode_secret_usage(usage))
}

/// The usage in the sealed record of this secret.
pub fn open_secret_usage(
    keyring: &Keyring,
    (namespace, id): (NamespaceId, SecretId),
    sealed: &[u8],
) -> Result<SecretUsage, Error> {
    let clear = keyring.open_record(Purpose::SecretUsage, &place(namespace, id), sealed)?;
    decode_secret_usage(&clear).ok_or(Error::Integrity)
}

/// The sealed record of an API key's last use.
pub fn seal_key_usage(keyring: &Keyring, key: &[u8; 10], last_used: Minute) -> Result<Vec<u8>, Error> {
    keyring.seal(Purpose::KeyUsage, key, &encode_last_use(last_used))
}

/// The last use in the sealed record of this API key.
pub fn open_key_usage(keyring: &Keyring, key: &[u8; 10], sealed: &[u8]) -> Result<Minute, Error> {
    let clear = keyring.open_record(Purpose::KeyUsage, key, sealed)?;
    decode_last_use(&clear).ok_or(Error::Integrity)
}

/// The sealed record of a binding's last use.
pub fn seal_binding_usage(
    keyring: &Keyring,
    binding: &[u8; 10],
    last_used: Minute,
) -> Result<Vec<u8>, Error> {
    keyring.seal(Purpose::BindingUsage, binding, &encode_last_use(last_used))
}

/// The last use in the sealed record of this binding.
pub fn open_binding_usage(keyring: &Keyring, binding: &[u8; 10], sealed: &[u8]) -> Result<Minute, Error> {
    let clear = keyring.open_record(Purpose::BindingUsage, binding, sealed)?;
    decode_last_use(&clear).ok_or(Error::Integrity)
}

fn place(namespace: NamespaceId, id: SecretId) -> Vec<u8> {
    [namespace.0, *id.as_bytes()].concat()
}

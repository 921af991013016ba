//! Short constructors of requests. A field that a test does not name keeps its default.

use std::collections::BTreeMap;

use prost_types::{FieldMask, Timestamp};
use strongroom::api::v1::secret_value::Kind;
use strongroom::api::v1::{
    BytesEncoding, BytesGenerator, CharacterClass, CreateSecretRequest, DeleteSecretRequest,
    DestroyVersionRequest, DisableVersionRequest, EnableVersionRequest, Generator, GetSecretRequest,
    KeyPairAlgorithm, KeyPairGenerator, ListSecretsRequest, PassphraseGenerator, PasswordGenerator,
    Redaction, RotateSecretRequest, Secret, SecretValue, UpdateSecretRequest, UuidGenerator, generator,
};

/// The value of a secret in a reply. The generated type has no `Debug`, on purpose; these values are no secrets.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Binary(Vec<u8>),
    Redacted,
}

impl Value {
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    #[track_caller]
    pub fn of(secret: &Secret) -> Self {
        match secret.value.clone().and_then(|mut value| value.kind.take()) {
            Some(Kind::Text(text)) => Self::Text(text),
            Some(Kind::Binary(bytes)) => Self::Binary(bytes),
            Some(Kind::Redacted(why)) if why == i32::from(Redaction::Encrypted) => Self::Redacted,
            Some(Kind::Redacted(why)) => panic!("a value redacted for the unknown reason {why}"),
            None => panic!("a secret in a reply that does not say what its value is"),
        }
    }

    /// The same value as a request carries it.
    pub fn sent(&self) -> Option<SecretValue> {
        match self {
            Self::Text(value) => text(value.as_str()),
            Self::Binary(value) => binary(value.as_slice()),
            Self::Redacted => Some(SecretValue { kind: Some(Kind::Redacted(Redaction::Encrypted.into())) }),
        }
    }
}

pub const MAX_VALUE: usize = 64 * 1024;

pub fn create(name: &str, value: &str) -> CreateSecretRequest {
    CreateSecretRequest { name: name.into(), value: text(value), ..Default::default() }
}

pub fn get(name: &str) -> GetSecretRequest {
    GetSecretRequest { name: name.into(), ..Default::default() }
}

pub fn list() -> ListSecretsRequest {
    ListSecretsRequest::default()
}

pub fn update(name: &str) -> UpdateSecretRequest {
    UpdateSecretRequest { name: name.into(), ..Default::default() }
}

pub fn rename(name: &str, new_name: &str) -> UpdateSecretRequest {
    UpdateSecretRequest { new_name: Some(new_name.into()), ..update(name) }
}

/// An update of the description: the smallest change there is.
pub fn describe(name: &str, description: &str) -> UpdateSecretRequest {
    UpdateSecretRequest { description: Some(description.into()), ..update(name) }
}

pub fn delete(name: &str) -> DeleteSecretRequest {
    DeleteSecretRequest { name: name.into(), ..Default::default() }
}

pub fn rotate(name: &str, value: &str) -> RotateSecretRequest {
    RotateSecretRequest { name: name.into(), value: text(value), ..Default::default() }
}

pub fn disable(name: &str, version: u32) -> DisableVersionRequest {
    DisableVersionRequest { name: name.into(), version, ..Default::default() }
}

pub fn enable(name: &str, version: u32) -> EnableVersionRequest {
    EnableVersionRequest { name: name.into(), version, ..Default::default() }
}

pub fn destroy(name: &str, version: u32) -> DestroyVersionRequest {
    DestroyVersionRequest { name: name.into(), version, ..Default::default() }
}

pub fn text(value: impl Into<String>) -> Option<SecretValue> {
    Some(SecretValue { kind: Some(Kind::Text(value.into())) })
}

pub fn binary(value: impl Into<Vec<u8>>) -> Option<SecretValue> {
    Some(SecretValue { kind: Some(Kind::Binary(value.into())) })
}

pub fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect()
}

/// This many pairs, all different.
pub fn many_pairs(count: usize) -> BTreeMap<String, String> {
    (0..count).map(|n| (format!("key{n}"), "value".into())).collect()
}

pub fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|&path| path.into()).collect() })
}

pub fn password(length: Option<u32>, alphabet: &str) -> Option<Generator> {
    generator(generator::Kind::Password(PasswordGenerator {
        length,
        alphabet: alphabet.into(),
        required: Vec::new(),
    }))
}

pub fn password_with(length: u32, alphabet: &str, required: &[CharacterClass]) -> Option<Generator> {
    generator(generator::Kind::Password(PasswordGenerator {
        length: Some(length),
        alphabet: alphabet.into(),
        required: required.iter().map(|class| (*class).into()).collect(),
    }))
}

pub fn passphrase(words: Option<u32>, separator: Option<&str>) -> Option<Generator> {
    let separator = separator.map(str::to_owned);
    generator(generator::Kind::Passphrase(PassphraseGenerator { words, separator }))
}

pub fn key_pair(algorithm: KeyPairAlgorithm) -> Option<Generator> {
    generator(generator::Kind::KeyPair(KeyPairGenerator { algorithm: algorithm.into() }))
}

pub fn random_bytes(length: Option<u32>, encoding: BytesEncoding) -> Option<Generator> {
    generator(generator::Kind::Bytes(BytesGenerator { length, encoding: encoding.into() }))
}

pub fn random_uuid() -> Option<Generator> {
    generator(generator::Kind::Uuid(UuidGenerator {}))
}

fn generator(kind: generator::Kind) -> Option<Generator> {
    Some(Generator { kind: Some(kind) })
}

/// Nanoseconds since 1970, so that times can be compared.
#[track_caller]
pub fn nanos(time: Option<Timestamp>) -> i128 {
    let time = time.expect("the time is set");
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

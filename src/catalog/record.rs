use std::collections::BTreeMap;

use prost::Message;

use crate::crypto::{Error, NamespaceKeys, Purpose};
use crate::domain::{Description, Namespace, Revision, Secret, SecretId, SecretName, Timestamp};

/// The sealed record of a secret, without its value.
pub fn seal_secret(keys: &NamespaceKeys, secret: &Secret) -> Result<Vec<u8>, Error> {
    keys.seal(Purpose::Secret, secret.id.as_bytes(), &encode_secret(secret))
}

/// The secret in a sealed record, which a commit of that revision put at the secret's id.
pub(super) fn open_secret(
    keys: &NamespaceKeys,
    id: SecretId,
    sealed: &[u8],
    revision: Revision,
) -> Result<Secret, Error> {
    let clear = keys.open_record(Purpose::Secret, id.as_bytes(), sealed)?;
    decode_secret(keys.namespace(), id, &clear, revision).ok_or(Error::Integrity)
}

/// A secret in the clear, as records and receipts hold it.
pub fn encode_secret(secret: &Secret) -> Vec<u8> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let record = Record {
        name: secret.name.to_string(),
        description: secret.description.as_str().to_owned(),
        metadata: secret.metadata.iter().map(owned).collect(),
        version: secret.version,
        created_at: secret.created_at.as_micros(),
        updated_at: secret.updated_at.as_micros(),
        rotated_at: secret.rotated_at.map(Timestamp::as_micros),
    };
    record.encode_to_vec()
}

/// The secret that was encoded; `None` where it was not.
pub fn decode_secret(
    namespace: &Namespace,
    id: SecretId,
    clear: &[u8],
    revision: Revision,
) -> Option<Secret> {
    let record = Record::decode(clear).ok()?;
    Some(Secret {
        namespace: namespace.clone(),
        name: SecretName::parse(&record.name).ok()?,
        id,
        description: Description::parse(&record.description).ok()?,
        metadata: record.metadata.into_iter().collect(),
        version: record.version,
        created_at: Timestamp::from_micros(record.created_at),
        updated_at: Timestamp::from_micros(record.updated_at),
        rotated_at: record.rotated_at.map(Timestamp::from_micros),
        revision,
    })
}

/// A secret's record, in the clear. Times are microseconds since 1970.
#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
    #[prost(uint32, tag = "4")]
    version: u32,
    #[prost(int64, tag = "5")]
    created_at: i64,
    #[prost(int64, tag = "6")]
    updated_at: i64,
    #[prost(int64, optional, tag = "7")]
    rotated_at: Option<i64>,
}

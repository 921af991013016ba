//! The idempotency record of a request in the clear: the first outcome of its request id.
//!
//! The record is small, however large the secret is: it has the parts of the answer that must stay as they were, and no
//! description and no metadata.

use super::access::BindingRecord;
use super::secret::VersionRecord;
use crate::domain::{Namespace, Revision, Secret, SecretId, SecretName, Timestamp, Versions};

/// The first outcome of a request id. Times are microseconds since 1970.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IdempotencyRecord {
    /// The HMAC of the request, 32 bytes: a second request with the same id must have the same.
    #[prost(bytes = "vec", tag = "1")]
    pub body: Vec<u8>,
    /// When the request was answered first.
    #[prost(int64, tag = "2")]
    pub at: i64,
    /// The id of the secret, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub secret_id: Vec<u8>,
    /// In the record of an earlier release: the secret after the request, as [`encode_secret`](super::encode_secret) writes it;
    /// empty after a deletion.
    #[prost(bytes = "vec", tag = "4")]
    pub secret: Vec<u8>,
    /// When the secret was deleted; absent: it was not.
    #[prost(int64, optional, tag = "5")]
    pub deleted_at: Option<i64>,
    /// In the record of an earlier release: the revision of the secret's last change, where the request changed nothing.
    #[prost(uint64, optional, tag = "6")]
    pub unchanged_since: Option<u64>,
    /// The revision that first put the record there, where it was sealed again since.
    #[prost(uint64, optional, tag = "7")]
    pub put_at: Option<u64>,
    /// The secret after the request; absent after a deletion, and in the record of an earlier release.
    #[prost(message, optional, tag = "8")]
    pub changed: Option<ChangedSecretRecord>,
    /// The id of the API key that sent the request, 10 bytes; empty where another principal did, and in the record of an earlier
    /// release.
    #[prost(bytes = "vec", tag = "9")]
    pub principal: Vec<u8>,
    /// The name of the principal that sent the request, where that is no API key.
    #[prost(string, tag = "10")]
    pub principal_name: String,
    /// The id of the binding that the request created, 10 bytes; empty where it created none.
    #[prost(bytes = "vec", tag = "11")]
    pub binding_id: Vec<u8>,
    /// The binding that the request created.
    #[prost(message, optional, tag = "12")]
    pub binding: Option<BindingRecord>,
    /// When the deleted secret is removed for good; absent where it was not deleted, and in the record of an earlier release.
    #[prost(int64, optional, tag = "13")]
    pub purge_at: Option<i64>,
}

/// The parts of a changed secret that the answer to a repeated request has as they were. Times are microseconds since 1970.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChangedSecretRecord {
    /// The name.
    #[prost(string, tag = "1")]
    name: String,
    /// The number of the current version.
    #[prost(uint32, tag = "2")]
    current: u32,
    /// When the secret was created.
    #[prost(int64, tag = "3")]
    created_at: i64,
    /// When the request changed it.
    #[prost(int64, tag = "4")]
    updated_at: i64,
    /// When it was last rotated; absent: never.
    #[prost(int64, optional, tag = "5")]
    rotated_at: Option<i64>,
    /// The version that the request made or changed; where it did neither, the current one.
    #[prost(message, optional, tag = "6")]
    version: Option<VersionRecord>,
}

impl ChangedSecretRecord {
    /// The record of a secret as a request left it. `number` is the version that the request made or changed.
    pub fn new(secret: &Secret, number: u32) -> Self {
        Self {
            name: secret.name.to_string(),
            current: secret.version,
            created_at: secret.created_at.as_micros(),
            updated_at: secret.updated_at.as_micros(),
            rotated_at: secret.rotated_at.map(Timestamp::as_micros),
            version: secret.versions.find(number).map(VersionRecord::new),
        }
    }

    /// The secret of this record, with the description and the metadata that the secret has at `present`; without them where it
    /// is not there any more under this name. It has only the version of the record. `None` where the record holds no secret.
    pub fn secret(
        &self,
        namespace: &Namespace,
        id: SecretId,
        revision: Revision,
        present: Option<&Secret>,
    ) -> Option<Secret> {
        let name = SecretName::parse(&self.name).ok()?;
        // Under another name, the caller may not be allowed to see it any more.
        let present = present.filter(|present| present.name == name);
        Some(Secret {
            namespace: namespace.clone(),
            name,
            id,
            description: present.map(|secret| secret.description.clone()).unwrap_or_default(),
            metadata: present.map(|secret| secret.metadata.clone()).unwrap_or_default(),
            version: self.current,
            versions: Versions::first(self.version.as_ref()?.version()?),
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
            rotated_at: self.rotated_at.map(Timestamp::from_micros),
            expires_at: present.and_then(|secret| secret.expires_at),
            expiry_told: present.map(|secret| secret.expiry_told).unwrap_or_default(),
            rotation: present.and_then(|secret| secret.rotation.clone()),
            deletion: present.and_then(|secret| secret.deletion),
            revision,
            stored_at: revision,
            last_read: None,
        })
    }
}

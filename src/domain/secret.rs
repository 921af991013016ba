//! A secret without its values, and the types of its fields that have no file of their own.

use std::fmt;

use uuid::Uuid;

use super::clock::new_id;
use super::{
    Invalid, Metadata, Minute, Namespace, Rotation, SecretName, Timestamp, ValueSize, VersionState, Versions,
};

/// A secret without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The namespace that the secret belongs to.
    pub namespace: Namespace,
    /// The name, unique in the namespace.
    pub name: SecretName,
    /// The id, which stays the same when the secret is renamed.
    pub id: SecretId,
    /// What the secret is for; may be empty.
    pub description: Description,
    /// The metadata.
    pub metadata: Metadata,
    /// The number of the current version, from 1.
    pub version: u32,
    /// The kept versions, the current one among them.
    pub versions: Versions,
    /// When the secret was created.
    pub created_at: Timestamp,
    /// When the secret last changed in any way.
    pub updated_at: Timestamp,
    /// When the secret was last rotated; `None` while version 1 is current.
    pub rotated_at: Option<Timestamp>,
    /// When the secret expires; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// What has been told of the expiry.
    pub expiry_told: ExpiryTold,
    /// When and how the secret is rotated; `None`: only on request.
    pub rotation: Option<Box<Rotation>>,
    /// When the secret was deleted; `None`: it is not deleted.
    pub deletion: Option<Deletion>,
    /// The store's revision of the last change.
    pub revision: Revision,
    /// The store's revision that put the present record. Later than `revision` where the record was sealed again since, with
    /// new keys.
    pub stored_at: Revision,
    /// When a value of the secret was last read, as far as the catalog knows. It is not in the record of the secret.
    pub last_read: Option<Minute>,
}

impl Secret {
    /// An opaque tag of the secret's state, different after every change (AIP-154).
    pub fn etag(&self) -> String {
        format!("{:016x}", self.revision.0)
    }

    /// Whether the secret was created before that time, and no value of it was read since. The minute of a read counts as a whole.
    pub fn is_unused_since(&self, since: Timestamp) -> bool {
        self.created_at < since && self.last_read.is_none_or(|read| read.is_before(since))
    }

    /// Whether the secret has expired at that time.
    pub fn is_expired(&self, at: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= at)
    }

    /// Whether the secret is deleted, and can still be brought back.
    pub fn is_deleted(&self) -> bool {
        self.deletion.is_some()
    }

    /// The number of the version that is pending.
    pub fn pending_version(&self) -> Option<u32> {
        let pending = self.versions.iter().find(|version| version.state == VersionState::Pending);
        pending.map(|version| version.number)
    }

    /// The bytes of the values that the store holds of the secret, as far as their sizes are known.
    pub fn value_bytes(&self) -> u64 {
        let stored = self.versions.iter().filter(|version| version.is_stored());
        stored.filter_map(|version| version.size).map(ValueSize::bytes).sum()
    }

    /// The numbers of the versions whose values the store holds.
    pub fn stored_versions(&self) -> impl Iterator<Item = u32> {
        self.versions.iter().filter(|version| version.is_stored()).map(|version| version.number)
    }
}

/// What watchers have been told of the expiry of a secret, so that it is told once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryTold {
    /// Nothing.
    #[default]
    Nothing,
    /// That the secret expires soon.
    Expiring,
    /// That the secret has expired.
    Expired,
}

/// The deletion of a secret that can still be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// When the secret was deleted.
    pub deleted_at: Timestamp,
    /// When it is removed for good.
    pub purge_at: Timestamp,
}

/// A secret's id: a UUID, version 7 (RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(Uuid);

impl SecretId {
    /// A new id.
    pub fn generate() -> Self {
        Self(new_id())
    }

    /// The id with these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Parses the text form in which ids are shown; other forms of the same UUID are refused.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self).filter(|id| id.to_string() == text)
    }

    /// The 16 bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a secret is for: at most 1,024 bytes of UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description(Box<str>);

impl Description {
    /// Checks the description against the limit.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > 1024 {
            return Err(Invalid::new("must be at most 1,024 bytes"));
        }
        Ok(Self(text.into()))
    }

    /// The description as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A caller's id of a request, a UUID (AIP-155). A request that is repeated with the same id is answered with the outcome of
/// the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Parses a UUID; `None` where the text is empty.
    pub fn parse(text: &str) -> Result<Option<Self>, Invalid> {
        if text.is_empty() {
            return Ok(None);
        }
        let uuid = Uuid::try_parse(text).map_err(|_| {
            Invalid::new("must be a UUID such as 0197f3a0-5c1e-7000-8000-4d6f6e657921, or empty")
        })?;
        Ok(Some(Self(uuid)))
    }

    /// The 16 bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

/// The id in the form of RFC 9562: with hyphens and lower-case letters.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a state of the store. Increases with every commit; commits that are made together share one revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

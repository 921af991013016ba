use std::fmt;

use uuid::Uuid;

use super::{Invalid, Metadata, Namespace, SecretName, Timestamp, Versions};

/// What is known of a secret without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Where it lives.
    pub namespace: Namespace,
    /// Its name there.
    pub name: SecretName,
    /// Which secret it is, whatever its name.
    pub id: SecretId,
    /// What it is for; may be empty.
    pub description: Description,
    /// The pairs attached to it.
    pub metadata: Metadata,
    /// The number of the current version, from 1.
    pub version: u32,
    /// The versions that are kept, the current one last.
    pub versions: Versions,
    /// When it was created.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// When its value last changed; `None` while version 1 is current.
    pub rotated_at: Option<Timestamp>,
    /// The store's revision of its last change.
    pub revision: Revision,
    /// The revision that put its record there: later than its last change where its keys were rotated since.
    pub stored_at: Revision,
}

impl Secret {
    /// An opaque tag of this state: another after every change.
    pub fn etag(&self) -> String {
        format!("{:016x}", self.revision.0)
    }

    /// The numbers of the versions whose values the store holds.
    pub fn stored_versions(&self) -> impl Iterator<Item = u32> {
        self.versions.iter().filter(|version| version.is_stored()).map(|version| version.number)
    }
}

/// A secret's identity: a UUIDv7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(Uuid);

impl SecretId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id in this text, when it is written as an id is shown.
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
    /// The description, when it is within the limit.
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

/// A caller's id of a request, a UUID, under which a repeat finds the first outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl RequestId {
    /// The id, when it is a UUID; `None` where the text is empty.
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

/// A state of the store: it counts up with every commit, or once with those that were made together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of the commit after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

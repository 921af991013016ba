//! The changes of secrets that watchers are told of. A change of a secret and its event are one commit.

use std::sync::Arc;

use super::{Revision, Secret, SecretName, Timestamp};

/// What happened to a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// It was created.
    Created,
    /// Its description, metadata, expiry or rotation policy was changed.
    Updated,
    /// It has another name, and perhaps other changes.
    Renamed,
    /// It has a pending version, whose rotation is to be ended.
    Staged,
    /// It has another current version.
    Rotated,
    /// A version was disabled, enabled or destroyed.
    VersionChanged,
    /// It was deleted, and its name is free.
    Deleted,
    /// It was deleted, and is there again.
    Undeleted,
    /// It was deleted, and is gone for good.
    Purged,
    /// Its rotation is due, and can be claimed.
    RotationDue,
    /// A rotation of it failed, and is tried again.
    RotationFailed,
    /// It expires soon.
    Expiring,
    /// It has expired, and cannot be read.
    Expired,
}

impl EventType {
    /// All types.
    pub const ALL: [Self; 13] = [
        Self::Created,
        Self::Updated,
        Self::Renamed,
        Self::Staged,
        Self::Rotated,
        Self::VersionChanged,
        Self::Deleted,
        Self::Undeleted,
        Self::Purged,
        Self::RotationDue,
        Self::RotationFailed,
        Self::Expiring,
        Self::Expired,
    ];

    /// Whether the secret is not there for its readers after the change.
    pub fn ends(self) -> bool {
        matches!(self, Self::Deleted | Self::Purged)
    }

    /// Whether the service only tells or notes something, so that the secret keeps its revision and its etag.
    pub fn is_note(self) -> bool {
        matches!(self, Self::RotationDue | Self::RotationFailed | Self::Expiring | Self::Expired)
    }

    /// Whether the secret was not there for its readers before the change.
    pub fn begins(self) -> bool {
        matches!(self, Self::Created | Self::Undeleted)
    }
}

/// The event of one change of one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretEvent {
    /// What happened.
    pub kind: EventType,
    /// When it happened.
    pub at: Timestamp,
    /// The secret as the change left it. Of its versions, only the current and the pending one are here.
    pub secret: Arc<Secret>,
    /// The name before the change, where the change gave it another one.
    pub former_name: Option<SecretName>,
    /// The metadata before the change, where the change gave it other metadata.
    pub former_metadata: Option<FormerMetadata>,
    /// The revision of the change.
    pub revision: Revision,
}

/// The event that a change is about to append. Only the commit has a revision.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// What happens.
    pub kind: EventType,
    /// When it happens.
    pub at: Timestamp,
    /// The secret as the change leaves it.
    pub secret: &'a Secret,
    /// The name before the change, where the change gives it another one.
    pub former_name: Option<&'a SecretName>,
    /// The metadata before the change, where the change gives it other metadata.
    pub former_metadata: Option<FormerMetadata>,
}

impl<'a> From<&'a SecretEvent> for NewEvent<'a> {
    fn from(event: &'a SecretEvent) -> Self {
        let SecretEvent { kind, at, secret, former_name, former_metadata, revision: _ } = event;
        let (former_name, former_metadata) = (former_name.as_ref(), former_metadata.clone());
        Self { kind: *kind, at: *at, secret, former_name, former_metadata }
    }
}

/// Digests of the pairs of metadata that a secret had before a change: enough to tell whether it matched a filter, and small,
/// so that the event of the largest secret is one record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormerMetadata(Box<[PairDigest]>);

/// The digest of a pair of metadata: 16 bytes.
pub type PairDigest = [u8; 16];

impl FormerMetadata {
    /// The pairs with these digests.
    pub fn new(mut digests: Vec<PairDigest>) -> Self {
        digests.sort_unstable();
        Self(digests.into())
    }

    /// The digests, in order.
    pub fn iter(&self) -> impl Iterator<Item = &PairDigest> {
        self.0.iter()
    }

    /// Whether the secret had this pair.
    pub fn has(&self, pair: &PairDigest) -> bool {
        self.0.binary_search(pair).is_ok()
    }
}

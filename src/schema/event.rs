//! The records of the history in the clear: the event of each change of a secret, and where the history starts. Times are
//! microseconds since 1970.

use std::sync::Arc;

use super::NamespaceId;
use super::secret::{decode_secret, encode_secret_with};
use crate::domain::{
    EventType, FormerMetadata, Namespace, NewEvent, PairDigest, Revision, Secret, SecretEvent, SecretId,
    SecretName, Timestamp, Version, VersionState,
};

/// The event of a change of a secret.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EventRecord {
    /// What happened, by its number in the proto files.
    #[prost(uint32, tag = "1")]
    kind: u32,
    /// When it happened.
    #[prost(int64, tag = "2")]
    at: i64,
    /// The id of the namespace, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    namespace_id: Vec<u8>,
    /// The id of the secret, 16 bytes.
    #[prost(bytes = "vec", tag = "4")]
    secret_id: Vec<u8>,
    /// The secret as the change left it, as in its own record, with the current and the pending one of its versions; with all of
    /// them where it keeps neither.
    #[prost(bytes = "vec", tag = "5")]
    secret: Vec<u8>,
    /// The name before the change; empty: the change did not rename the secret.
    #[prost(string, tag = "6")]
    former_name: String,
    /// The metadata before the change; absent: the change left it.
    #[prost(message, optional, tag = "7")]
    former_metadata: Option<FormerMetadataRecord>,
    /// The revision of the change, where the record was sealed again since.
    #[prost(uint64, optional, tag = "8")]
    put_at: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FormerMetadataRecord {
    /// The digests of the pairs, 16 bytes each, in order.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pairs: Vec<Vec<u8>>,
}

impl EventRecord {
    /// The record of an event. The commit that appends it has its revision.
    pub fn new(namespace: NamespaceId, event: &NewEvent<'_>) -> Self {
        let NewEvent { kind, at, secret, former_name, former_metadata } = event;
        let pairs = |former: &FormerMetadata| FormerMetadataRecord {
            pairs: former.iter().map(|pair| pair.to_vec()).collect(),
        };
        Self {
            kind: number(*kind),
            at: at.as_micros(),
            namespace_id: namespace.0.to_vec(),
            secret_id: secret.id.as_bytes().to_vec(),
            secret: encode_secret_with(secret, told_versions(secret), kind.is_note()),
            former_name: former_name.map(SecretName::to_string).unwrap_or_default(),
            former_metadata: former_metadata.as_ref().map(pairs),
            put_at: None,
        }
    }

    /// The same record, to be sealed again: it keeps the revision of its change. `stored_at` is the revision that put it where
    /// it stands.
    #[must_use]
    pub fn kept(self, stored_at: Revision) -> Self {
        Self { put_at: Some(self.revision(stored_at).0), ..self }
    }

    /// The revision of the change. `stored_at` is the revision that put the record where it stands.
    pub fn revision(&self, stored_at: Revision) -> Revision {
        self.put_at.map(Revision).filter(|at| *at <= stored_at).unwrap_or(stored_at)
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.at)
    }

    /// The id of the namespace; `None` where the record has none.
    pub fn namespace_id(&self) -> Option<NamespaceId> {
        Some(NamespaceId(self.namespace_id.as_slice().try_into().ok()?))
    }

    /// The event of this record, in the namespace of its id. `None` where the record holds no event.
    pub fn event(&self, namespace: &Namespace, stored_at: Revision) -> Option<SecretEvent> {
        let revision = self.revision(stored_at);
        let id = SecretId::from_bytes(self.secret_id.as_slice().try_into().ok()?);
        let former_name = match self.former_name.as_str() {
            "" => None,
            name => Some(SecretName::parse(name).ok()?),
        };
        let pair = |pair: &Vec<u8>| PairDigest::try_from(pair.as_slice()).ok();
        let former_metadata = match &self.former_metadata {
            Some(former) => Some(FormerMetadata::new(former.pairs.iter().map(pair).collect::<Option<_>>()?)),
            None => None,
        };
        Some(SecretEvent {
            kind: kind(self.kind)?,
            at: self.at(),
            secret: Arc::new(decode_secret(namespace, id, &self.secret, revision)?),
            former_name,
            former_metadata,
            revision,
        })
    }
}

/// Where the history starts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistoryStartRecord {
    /// The revision up to which events are no longer kept; absent: the revision that put the record there.
    #[prost(uint64, optional, tag = "1")]
    pub after: Option<u64>,
}

impl HistoryStartRecord {
    /// The revision up to which events are no longer kept. `stored_at` is the revision that put the record there.
    pub fn revision(&self, stored_at: Revision) -> Revision {
        self.after.map_or(stored_at, Revision)
    }
}

/// The current one of the versions of a secret, and the pending one where there is one. All of them where neither is kept.
fn told_versions(secret: &Secret) -> impl Iterator<Item = &Version> {
    let is_told =
        |version: &Version| version.number == secret.version || version.state == VersionState::Pending;
    let none = !secret.versions.iter().any(is_told);
    secret.versions.iter().filter(move |version| none || is_told(version))
}

/// The number of a type, as in the proto files.
fn number(kind: EventType) -> u32 {
    match kind {
        EventType::Created => 2,
        EventType::Updated => 3,
        EventType::Renamed => 4,
        EventType::Staged => 5,
        EventType::Rotated => 6,
        EventType::VersionChanged => 7,
        EventType::Deleted => 8,
        EventType::Undeleted => 9,
        EventType::Purged => 10,
        EventType::RotationDue => 11,
        EventType::RotationFailed => 12,
        EventType::Expiring => 13,
        EventType::Expired => 14,
    }
}

fn kind(of: u32) -> Option<EventType> {
    EventType::ALL.into_iter().find(|kind| number(*kind) == of)
}

//! Secrets, their versions and namespaces, as the calls of [`Client`](crate::Client) return them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use prost_types::Timestamp;

use crate::generator::RotationPolicy;
use crate::plaintext::Value;
use crate::v1::{self, VersionState};

/// A secret as it was at one revision.
///
/// `Debug` shows neither its value nor its description and metadata.
#[non_exhaustive]
pub struct Secret {
    /// The namespace of the secret. Never empty.
    pub namespace: String,
    /// Unique in the namespace.
    pub name: String,
    /// A UUID that stays the same for the life of the secret. A rename does not change it.
    pub id: String,
    /// The plaintext value. `None`: the service has left it out, as in lists, in events, and in replies to changes.
    pub value: Option<Value>,
    /// The number of the version that `value` is the value of.
    pub value_version: Option<u32>,
    /// It can be empty.
    pub description: String,
    /// The pairs of the secret.
    pub metadata: BTreeMap<String, String>,
    /// The number of the current version.
    pub version: u32,
    /// The number of the new version of a staged rotation.
    pub pending_version: Option<u32>,
    /// Names this state of the secret: a change with it is made only if the secret has not changed since.
    pub etag: String,
    /// The store's revision of the last change of the secret.
    pub revision: u64,
    /// The store's revision that the secret was read or changed at. 0: it is not known, as in lists and events.
    pub read_at: u64,
    /// When the secret was created.
    pub created_at: Option<SystemTime>,
    /// When the secret last changed.
    pub updated_at: Option<SystemTime>,
    /// When another version last became the current one. `None`: none did.
    pub rotated_at: Option<SystemTime>,
    /// When the secret expires. `None`: never.
    pub expires_at: Option<SystemTime>,
    /// When the next rotation is due. `None`: none is planned.
    pub next_rotation_at: Option<SystemTime>,
    /// When the secret was deleted. `None`: it is not deleted.
    pub deleted_at: Option<SystemTime>,
    /// When the service removes a deleted or expired secret for good.
    pub purge_at: Option<SystemTime>,
    /// When and how the secret is rotated. `None`: only on request.
    pub rotation_policy: Option<RotationPolicy>,
    /// The claim of a worker on the rotation that is due. `None`: nobody holds it.
    pub rotation_claim: Option<RotationClaim>,
    /// The last attempts to rotate the secret, where they failed.
    pub rotation_failure: Option<RotationFailure>,
}

/// The claim of a worker on a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RotationClaim {
    /// Who holds the rotation, for example `key:abcdefghijklmnop`.
    pub principal: String,
    /// When the claim ends by itself.
    pub lease_expires_at: Option<SystemTime>,
}

/// Attempts to rotate a secret that failed, since the last success.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RotationFailure {
    /// How many there were.
    pub attempts: u32,
    /// When the last one failed.
    pub failed_at: Option<SystemTime>,
    /// Why it failed, in the words of the worker.
    pub error: String,
    /// When the rotation is due again.
    pub retry_at: Option<SystemTime>,
}

/// A version of a secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretVersion {
    /// 1 for the first version.
    pub number: u32,
    /// Whether the value can be read. A state of a later release is `Unspecified`.
    pub state: VersionState,
    /// Whether this is the version that a read without a number returns.
    pub current: bool,
    /// When the version was created. `None`: not known.
    pub created_at: Option<SystemTime>,
    /// When the state last changed. `None`: never.
    pub state_changed_at: Option<SystemTime>,
    /// When the value was last read, to the minute. `None`: no read is known.
    pub last_read_at: Option<SystemTime>,
    /// Until when a former version stays readable. `None`: it has no grace period.
    pub retires_at: Option<SystemTime>,
    /// Who read or acknowledged the version, the latest first.
    pub consumers: Vec<Consumer>,
}

/// Who uses a version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Consumer {
    /// The caller, for example `key:abcdefghijklmnop`.
    pub principal: String,
    /// What the consumer calls itself. It can be empty.
    pub name: String,
    /// When it last read the value, to the minute. `None`: no read is known.
    pub last_read_at: Option<SystemTime>,
    /// When it acknowledged the version. `None`: it did not.
    pub acknowledged_at: Option<SystemTime>,
}

/// What a deletion leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeletedSecret {
    /// The id for [`Client::undelete`](crate::Client::undelete).
    pub id: String,
    /// When the secret was deleted.
    pub deleted_at: Option<SystemTime>,
    /// Until when the secret can be brought back.
    pub purge_at: Option<SystemTime>,
    /// The store's revision of the deletion.
    pub revision: u64,
}

/// A namespace in which the caller may list secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Namespace {
    /// The name of the namespace, such as `team/billing`.
    pub name: String,
    /// How many of its secrets the caller may list, without deleted ones.
    pub secrets: u32,
    /// How many of its deleted secrets the caller may list and can still bring back.
    pub deleted_secrets: u32,
}

impl Namespace {
    pub(crate) fn of(sent: v1::Namespace) -> Self {
        let count = |sent: i32| u32::try_from(sent).unwrap_or_default();
        Self { name: sent.name, secrets: count(sent.secrets), deleted_secrets: count(sent.deleted_secrets) }
    }
}

impl Secret {
    /// The secret of a reply. `value_version` is the number of the version whose value it has, if it has one; `read_at` is the
    /// revision of the reply.
    pub(crate) fn of(sent: Option<v1::Secret>, value_version: u32, read_at: u64) -> Self {
        let sent = sent.unwrap_or_default();
        let value = sent.value.and_then(Value::of);
        let value_version = value.is_some().then_some(value_version);
        Self {
            namespace: sent.namespace,
            name: sent.name,
            id: sent.id,
            value,
            value_version,
            description: sent.description,
            metadata: sent.metadata,
            version: sent.version,
            pending_version: sent.pending_version,
            etag: sent.etag,
            revision: sent.revision,
            read_at,
            created_at: moment(sent.created_at),
            updated_at: moment(sent.updated_at),
            rotated_at: moment(sent.rotated_at),
            expires_at: moment(sent.expires_at),
            next_rotation_at: moment(sent.next_rotation_at),
            deleted_at: moment(sent.deleted_at),
            purge_at: moment(sent.purge_at),
            rotation_policy: sent.rotation_policy.map(RotationPolicy::of),
            rotation_claim: sent.rotation_claim.map(|claim| RotationClaim {
                principal: claim.principal,
                lease_expires_at: moment(claim.lease_expires_at),
            }),
            rotation_failure: sent.rotation_failure.map(|failure| RotationFailure {
                attempts: failure.attempts,
                failed_at: moment(failure.failed_at),
                error: failure.error,
                retry_at: moment(failure.retry_at),
            }),
        }
    }
}

impl SecretVersion {
    pub(crate) fn of(sent: Option<v1::SecretVersion>) -> Self {
        let sent = sent.unwrap_or_default();
        let consumer = |sent: v1::Consumer| Consumer {
            principal: sent.principal,
            name: sent.consumer,
            last_read_at: moment(sent.last_read_at),
            acknowledged_at: moment(sent.acknowledged_at),
        };
        Self {
            number: sent.number,
            state: VersionState::try_from(sent.state).unwrap_or_default(),
            current: sent.current,
            created_at: moment(sent.created_at),
            state_changed_at: moment(sent.state_changed_at),
            last_read_at: moment(sent.last_read_at),
            retires_at: moment(sent.retires_at),
            consumers: sent.consumers.into_iter().map(consumer).collect(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("id", &self.id)
            .field("version", &self.version)
            .field("pending_version", &self.pending_version)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// The time of a message; `None` also where it is outside of what the system can express.
pub(crate) fn moment(sent: Option<Timestamp>) -> Option<SystemTime> {
    SystemTime::try_from(sent?).ok()
}

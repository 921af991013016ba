//! The record of a secret in the clear: everything but its value. Idempotency records of earlier releases hold it too.

use std::collections::BTreeMap;

use prost::Message;

use super::rotation::RotationRecord;
use crate::domain::{
    Deletion, Description, ExpiryTold, MAX_KEPT_VERSIONS, Namespace, Revision, Secret, SecretId, SecretName,
    Timestamp, Version, VersionState, Versions,
};

/// Encodes a secret, for its own record or an idempotency record.
pub fn encode_secret(secret: &Secret) -> Vec<u8> {
    encode_secret_with(secret, secret.versions.iter(), false)
}

/// The same for a secret that is sealed again unchanged: the record keeps the revision of its last change.
pub fn encode_unchanged_secret(secret: &Secret) -> Vec<u8> {
    encode_secret_with(secret, secret.versions.iter(), true)
}

/// Encodes a secret with these of its versions, changed or unchanged.
pub(super) fn encode_secret_with<'a>(
    secret: &Secret,
    versions: impl Iterator<Item = &'a Version>,
    unchanged: bool,
) -> Vec<u8> {
    let revision = unchanged.then_some(secret.revision.0);
    SecretRecord { revision, ..SecretRecord::of(secret, versions) }.encode_to_vec()
}

/// Decodes a secret; `None` where the bytes are none.
pub fn decode_secret(
    namespace: &Namespace,
    id: SecretId,
    clear: &[u8],
    revision: Revision,
) -> Option<Secret> {
    let record = SecretRecord::decode(clear).ok()?;
    let versions = record.versions()?;
    let expiry_told = match record.expiry_told {
        0 => ExpiryTold::Nothing,
        1 => ExpiryTold::Expiring,
        2 => ExpiryTold::Expired,
        _ => return None,
    };
    let rotation = match &record.rotation {
        Some(rotation) => Some(Box::new(rotation.rotation()?)),
        None => None,
    };
    let purge_at = Timestamp::from_micros(record.purge_at);
    Some(Secret {
        namespace: namespace.clone(),
        name: SecretName::parse(&record.name).ok()?,
        id,
        description: Description::parse(&record.description).ok()?,
        metadata: record.metadata.into(),
        version: record.version,
        versions,
        created_at: Timestamp::from_micros(record.created_at),
        updated_at: Timestamp::from_micros(record.updated_at),
        rotated_at: record.rotated_at.map(Timestamp::from_micros),
        expires_at: record.expires_at.map(Timestamp::from_micros),
        expiry_told,
        rotation,
        deletion: record
            .deleted_at
            .map(|deleted_at| Deletion { deleted_at: Timestamp::from_micros(deleted_at), purge_at }),
        // A later revision belongs to another store, from which this one was restored.
        revision: record.revision.map(Revision).filter(|at| *at <= revision).unwrap_or(revision),
        stored_at: revision,
        last_read: None,
    })
}

/// The record of a secret in the clear. Times are microseconds since 1970.
#[derive(Clone, PartialEq, prost::Message)]
struct SecretRecord {
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
    /// The kept versions, oldest first. Empty in a record of a release that kept no list.
    #[prost(message, repeated, tag = "8")]
    versions: Vec<VersionRecord>,
    /// The revision of the last change, where the record was written later.
    #[prost(uint64, optional, tag = "9")]
    revision: Option<u64>,
    /// When the secret expires; absent: never.
    #[prost(int64, optional, tag = "10")]
    expires_at: Option<i64>,
    /// What has been told of the expiry: 0 nothing, 1 that it is near, 2 that it has come.
    #[prost(uint32, tag = "11")]
    expiry_told: u32,
    /// When and how the secret is rotated; absent: only on request.
    #[prost(message, optional, tag = "12")]
    rotation: Option<RotationRecord>,
    /// When the secret was deleted; absent: it is not deleted.
    #[prost(int64, optional, tag = "13")]
    deleted_at: Option<i64>,
    /// When a deleted secret is removed for good.
    #[prost(int64, tag = "14")]
    purge_at: i64,
}

impl SecretRecord {
    fn of<'a>(secret: &Secret, versions: impl Iterator<Item = &'a Version>) -> Self {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Self {
            name: secret.name.to_string(),
            description: secret.description.as_str().to_owned(),
            metadata: secret.metadata.iter().map(owned).collect(),
            version: secret.version,
            created_at: secret.created_at.as_micros(),
            updated_at: secret.updated_at.as_micros(),
            rotated_at: secret.rotated_at.map(Timestamp::as_micros),
            versions: versions.map(VersionRecord::new).collect(),
            revision: None,
            expires_at: secret.expires_at.map(Timestamp::as_micros),
            expiry_told: match secret.expiry_told {
                ExpiryTold::Nothing => 0,
                ExpiryTold::Expiring => 1,
                ExpiryTold::Expired => 2,
            },
            rotation: secret.rotation.as_deref().map(RotationRecord::of),
            deleted_at: secret.deletion.map(|deletion| deletion.deleted_at.as_micros()),
            purge_at: secret.deletion.map(|deletion| deletion.purge_at.as_micros()).unwrap_or_default(),
        }
    }

    fn versions(&self) -> Option<Versions> {
        let versions: Option<Vec<_>> = match self.versions.as_slice() {
            [] => Some(self.unlisted_versions().collect()),
            listed => listed.iter().map(VersionRecord::version).collect(),
        };
        let has_current = |versions: &Versions| {
            versions.find(self.version).is_some_and(|current| current.state != VersionState::Pending)
        };
        Versions::from_oldest(versions?).filter(has_current)
    }

    /// The versions of a secret whose record has no list: the newest ones, all readable. The time of creation is
    /// known of the first and of the current version only.
    fn unlisted_versions(&self) -> impl Iterator<Item = Version> {
        let oldest = self.version.saturating_sub(MAX_KEPT_VERSIONS - 1).max(1);
        (oldest..=self.version).map(|number| {
            let created_at = match number {
                1 => Some(self.created_at),
                _ if number == self.version => self.rotated_at,
                _ => None,
            };
            Version {
                number,
                state: VersionState::Enabled,
                created_at: created_at.map(Timestamp::from_micros),
                changed_at: None,
                seal: None,
                destroyed_key: None,
                retires_at: None,
                size: None,
            }
        })
    }
}

/// A version in the record of a secret. Times are microseconds since 1970.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct VersionRecord {
    #[prost(uint32, tag = "1")]
    number: u32,
    /// The state, by its number in the proto files.
    #[prost(uint32, tag = "2")]
    state: u32,
    #[prost(int64, optional, tag = "3")]
    created_at: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    changed_at: Option<i64>,
    /// 12 bytes, or none.
    #[prost(bytes = "vec", tag = "5")]
    seal: Vec<u8>,
    /// 32 bytes, or none.
    #[prost(bytes = "vec", tag = "6")]
    destroyed_key: Vec<u8>,
    #[prost(int64, optional, tag = "7")]
    retires_at: Option<i64>,
}

const PENDING: u32 = 1;
const ENABLED: u32 = 2;
const DISABLED: u32 = 3;
const DESTROYED: u32 = 4;

impl VersionRecord {
    pub(super) fn new(version: &Version) -> Self {
        let state = match version.state {
            VersionState::Pending => PENDING,
            VersionState::Enabled => ENABLED,
            VersionState::Disabled => DISABLED,
            VersionState::Destroyed => DESTROYED,
        };
        Self {
            number: version.number,
            state,
            created_at: version.created_at.map(Timestamp::as_micros),
            changed_at: version.changed_at.map(Timestamp::as_micros),
            seal: version.seal.map(Vec::from).unwrap_or_default(),
            destroyed_key: version.destroyed_key.as_ref().map(|key| key.to_vec()).unwrap_or_default(),
            retires_at: version.retires_at.map(Timestamp::as_micros),
        }
    }

    pub(super) fn version(&self) -> Option<Version> {
        let state = match self.state {
            PENDING => VersionState::Pending,
            ENABLED => VersionState::Enabled,
            DISABLED => VersionState::Disabled,
            DESTROYED => VersionState::Destroyed,
            _ => return None,
        };
        Some(Version {
            number: self.number,
            state,
            created_at: self.created_at.map(Timestamp::from_micros),
            changed_at: self.changed_at.map(Timestamp::from_micros),
            seal: present(&self.seal)?,
            destroyed_key: present(&self.destroyed_key)?.map(Box::new),
            retires_at: self.retires_at.map(Timestamp::from_micros),
            size: None,
        })
    }
}

/// An optional field of a fixed length: `Some(None)` where it is empty, `None` where its length is wrong.
fn present<const N: usize>(bytes: &[u8]) -> Option<Option<[u8; N]>> {
    if bytes.is_empty() { Some(None) } else { bytes.try_into().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Metadata;

    fn secret(versions: Vec<Version>) -> Secret {
        Secret {
            namespace: Namespace::default_namespace(),
            name: SecretName::parse("a").unwrap(),
            id: SecretId::from_bytes([7; 16]),
            description: Description::parse("what for").unwrap(),
            metadata: Metadata::default(),
            version: versions.last().unwrap().number,
            versions: Versions::from_oldest(versions).unwrap(),
            created_at: Timestamp::from_micros(10),
            updated_at: Timestamp::from_micros(30),
            rotated_at: Some(Timestamp::from_micros(20)),
            expires_at: Some(Timestamp::from_micros(90)),
            expiry_told: ExpiryTold::Expiring,
            rotation: Some(Box::new(crate::schema::rotation::tests::rotation())),
            deletion: Some(Deletion {
                deleted_at: Timestamp::from_micros(40),
                purge_at: Timestamp::from_micros(50),
            }),
            revision: Revision(5),
            stored_at: Revision(5),
            last_read: None,
        }
    }

    fn decoded(clear: &[u8]) -> Option<Secret> {
        decode_secret(&Namespace::default_namespace(), SecretId::from_bytes([7; 16]), clear, Revision(5))
    }

    #[test]
    fn a_secret_comes_back_with_all_of_its_versions() {
        let at = |micros| Timestamp::from_micros(micros);
        let made = |number| Version::new(number, at(i64::from(number)), Some([3; 12]));
        let destroyed = VersionState::Destroyed;
        let versions = vec![
            Version {
                state: destroyed,
                changed_at: Some(at(9)),
                destroyed_key: Some(Box::new([9; 32])),
                ..made(4)
            },
            Version { created_at: None, seal: None, ..made(5) },
            Version { state: VersionState::Disabled, changed_at: Some(at(8)), ..made(6) },
            Version { retires_at: Some(at(70)), ..made(7) },
            made(8),
        ];
        let secret = secret(versions);
        assert_eq!(decoded(&encode_secret(&secret)), Some(secret));
    }

    #[test]
    fn a_record_without_a_list_has_the_versions_that_were_kept() {
        for (version, oldest) in [(1, 1), (2, 1), (100, 1), (101, 2), (250, 151)] {
            let rotated_at = (version > 1).then_some(20);
            let record = SecretRecord {
                name: "a".into(),
                version,
                created_at: 10,
                rotated_at,
                ..SecretRecord::default()
            };
            let read = decoded(&record.encode_to_vec()).unwrap();
            let numbers: Vec<_> = read.versions.iter().map(|version| version.number).collect();
            assert_eq!(numbers, (oldest..=version).collect::<Vec<_>>());
            for kept in read.versions.iter() {
                let micros = match kept.number {
                    1 => Some(10),
                    number if number == version => Some(20),
                    _ => None,
                };
                assert_eq!(kept.created_at, micros.map(Timestamp::from_micros));
                assert_eq!((kept.state, kept.seal), (VersionState::Enabled, None));
            }
        }
    }

    #[test]
    fn the_record_of_the_largest_secret_fits_into_the_store() {
        let time = Timestamp::from_micros(253_402_300_799_999_999);
        let graced = |number| Version {
            state: VersionState::Disabled,
            changed_at: Some(time),
            retires_at: Some(time),
            ..Version::new(number, time, Some([3; 12]))
        };
        // At most 100 versions are not protected, and only those can be destroyed ones.
        let destroyed = |number| Version {
            state: VersionState::Destroyed,
            changed_at: Some(time),
            destroyed_key: Some(Box::new([9; 32])),
            ..Version::new(number, time, Some([3; 12]))
        };
        let numbers = u32::MAX - 499..=u32::MAX;
        let versions = numbers.map(|n| if n % 5 == 0 { destroyed(n) } else { graced(n) }).collect();
        let pairs = (0..64).map(|n| (format!("{n:0>128}"), "v".repeat(512)));
        let mut rotation = crate::schema::rotation::tests::rotation();
        let alphabet: String = ('!'..='~').collect();
        rotation.policy.generator =
            Some(crate::domain::Generator::password(Some(4096), &alphabet, [].into()).unwrap());
        rotation.failed(time, &"e".repeat(1024), None);
        rotation.claimed(crate::domain::Claim {
            id: crate::domain::ClaimId::from_bytes([1; 16]),
            principal: "p".repeat(1024).into(),
            expires_at: time,
        });
        let secret = Secret {
            name: SecretName::parse(&"n".repeat(128)).unwrap(),
            description: Description::parse(&"d".repeat(1024)).unwrap(),
            metadata: Metadata::parse(pairs.collect()).unwrap(),
            created_at: time,
            updated_at: time,
            rotated_at: Some(time),
            expires_at: Some(time),
            rotation: Some(Box::new(rotation)),
            ..secret(versions)
        };
        // The rest is for the seal and for fields to come.
        let bytes = encode_unchanged_secret(&secret).len();
        assert!(bytes + 1024 <= crate::store::MAX_RECORD, "{bytes}");
        assert!(decoded(&encode_secret(&secret)).is_some());
    }

    #[test]
    fn versions_that_contradict_the_secret_are_refused() {
        let listed = |numbers: &[u32]| {
            let of = |&number| VersionRecord { number, state: ENABLED, ..VersionRecord::default() };
            let versions = numbers.iter().map(of).collect();
            let record = SecretRecord { name: "a".into(), version: 3, versions, ..SecretRecord::default() };
            decoded(&record.encode_to_vec())
        };
        assert!(listed(&[2, 3]).is_some());
        assert!(listed(&[3, 4]).is_some(), "an older version can be current");
        assert!(listed(&[1, 3, 7]).is_some(), "versions that were removed leave gaps");
        for wrong in [&[1, 2][..], &[3, 1], &[4], &[0]] {
            assert_eq!(listed(wrong), None, "{wrong:?}");
        }
        for wrong in [
            VersionRecord { number: 3, state: 9, ..VersionRecord::default() },
            VersionRecord { number: 3, state: PENDING, ..VersionRecord::default() },
            VersionRecord { number: 3, state: ENABLED, seal: vec![1; 11], ..VersionRecord::default() },
        ] {
            let record = SecretRecord {
                name: "a".into(),
                version: 3,
                versions: vec![wrong],
                ..SecretRecord::default()
            };
            assert_eq!(decoded(&record.encode_to_vec()), None);
        }
    }
}

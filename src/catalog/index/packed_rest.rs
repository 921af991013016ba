//! What few places look at in a secret that the index keeps, as bytes: its versions, and what most secrets lack.
//!
//! These bytes are in memory only, so no later release reads them. Numbers are varints, and times have 8 bytes.

use crate::domain::{
    Deletion, ExpiryTold, Revision, Rotation, Secret, Timestamp, ValueSize, Version, VersionState, Versions,
};

use crate::schema::{decode_rotation, encode_rotation};

/// What was packed of a secret.
pub(super) struct Rest {
    pub(super) revision: Revision,
    pub(super) rotated_at: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) expiry_told: ExpiryTold,
    pub(super) deletion: Option<Deletion>,
    pub(super) rotation: Option<Box<Rotation>>,
    pub(super) versions: Versions,
}

const ROTATED: u8 = 1;
const EXPIRES: u8 = 1 << 1;
const DELETED: u8 = 1 << 2;
const TOLD_EXPIRING: u8 = 1 << 3;
const TOLD_EXPIRED: u8 = 1 << 4;
const ROTATES: u8 = 1 << 5;

const PENDING: u8 = 0;
const ENABLED: u8 = 1;
const DISABLED: u8 = 2;
const DESTROYED: u8 = 3;
/// The bits of a version's state.
const STATE: u8 = 3;
const CREATED: u8 = 1 << 2;
const CHANGED: u8 = 1 << 3;
const SEALED: u8 = 1 << 4;
const KEY_DESTROYED: u8 = 1 << 5;
const RETIRES: u8 = 1 << 6;
const SIZED: u8 = 1 << 7;

/// Appends the rest of a secret. `None` where a number is larger than any limit allows.
pub(super) fn pack_rest(secret: &Secret, to: &mut Vec<u8>) -> Option<()> {
    let told = match secret.expiry_told {
        ExpiryTold::Nothing => 0,
        ExpiryTold::Expiring => TOLD_EXPIRING,
        ExpiryTold::Expired => TOLD_EXPIRED,
    };
    let (rotated, expires) = (flag(ROTATED, &secret.rotated_at), flag(EXPIRES, &secret.expires_at));
    to.push(rotated | expires | flag(DELETED, &secret.deletion) | flag(ROTATES, &secret.rotation) | told);
    // A record that was sealed again is later than the last change.
    pack_number(secret.stored_at.0.checked_sub(secret.revision.0)?, to);
    let deletion = secret.deletion.map(|deletion| [deletion.deleted_at, deletion.purge_at]);
    let times = secret.rotated_at.into_iter().chain(secret.expires_at).chain(deletion.into_iter().flatten());
    times.for_each(|time| pack_time(time, to));
    if let Some(rotation) = &secret.rotation {
        let rotation = encode_rotation(rotation);
        pack_number(rotation.len().try_into().ok()?, to);
        to.extend_from_slice(&rotation);
    }
    let (first, others): (Vec<_>, Vec<_>) = secret
        .versions
        .iter()
        .partition(|version| version.number == secret.version || version.state == VersionState::Pending);
    for part in [first, others] {
        pack_number(part.len().try_into().ok()?, to);
        part.into_iter().for_each(|version| pack_version(version, secret.created_at, to));
    }
    Some(())
}

/// `created_at` is when the secret was created. Most secrets have one version, which was created then too.
fn pack_version(version: &Version, created_at: Timestamp, to: &mut Vec<u8>) {
    let state = match version.state {
        VersionState::Pending => PENDING,
        VersionState::Enabled => ENABLED,
        VersionState::Disabled => DISABLED,
        VersionState::Destroyed => DESTROYED,
    };
    to.push(
        state
            | flag(CREATED, &version.created_at)
            | flag(CHANGED, &version.changed_at)
            | flag(SEALED, &version.seal)
            | flag(KEY_DESTROYED, &version.destroyed_key)
            | flag(RETIRES, &version.retires_at)
            | flag(SIZED, &version.size),
    );
    pack_number(version.number.into(), to);
    if let Some(time) = version.created_at {
        let later = time.as_micros().wrapping_sub(created_at.as_micros());
        pack_number(later.cast_unsigned(), to);
    }
    version.changed_at.into_iter().chain(version.retires_at).for_each(|time| pack_time(time, to));
    to.extend(version.seal.iter().flatten());
    to.extend(version.destroyed_key.iter().flat_map(|key| key.iter()));
    if let Some(size) = version.size {
        pack_number(size.number().into(), to);
    }
}

/// Which versions to unpack beside the current one and the pending one, which come first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    All,
    None,
    Numbered(u32),
}

impl Others {
    fn have(self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Numbered(wanted) => number == wanted,
        }
    }
}

/// Reads back what [`pack_rest`] appended. The secret was created at `created_at`, and its record was put at `stored_at`.
pub(super) fn unpack_rest(
    bytes: &[u8],
    created_at: Timestamp,
    stored_at: Revision,
    others: Others,
) -> Option<Rest> {
    let mut from = Unpacker(bytes);
    let flags = from.byte()?;
    let revision = Revision(stored_at.0.checked_sub(from.number()?)?);
    let rotated_at = from.time_if(flags & ROTATED)?;
    let expires_at = from.time_if(flags & EXPIRES)?;
    let (deleted_at, purge_at) = (from.time_if(flags & DELETED)?, from.time_if(flags & DELETED)?);
    let expiry_told = match flags & (TOLD_EXPIRING | TOLD_EXPIRED) {
        0 => ExpiryTold::Nothing,
        TOLD_EXPIRING => ExpiryTold::Expiring,
        _ => ExpiryTold::Expired,
    };
    let rotation = match flags & ROTATES {
        0 => None,
        _ => {
            let bytes = from.number()?;
            Some(Box::new(decode_rotation(from.bytes(bytes)?)?))
        }
    };
    let mut versions = Vec::new();
    for _ in 0..from.number::<u16>()? {
        versions.push(unpack_version(created_at, &mut from)?);
    }
    if others != Others::None {
        for _ in 0..from.number::<u16>()? {
            let version = unpack_version(created_at, &mut from)?;
            versions.extend(Some(version).filter(|version| others.have(version.number)));
        }
        versions.sort_unstable_by_key(|version| version.number);
    }
    Some(Rest {
        revision,
        rotated_at,
        expires_at,
        expiry_told,
        deletion: deleted_at.zip(purge_at).map(|(deleted_at, purge_at)| Deletion { deleted_at, purge_at }),
        rotation,
        versions: Versions::from_oldest(versions)?,
    })
}

fn unpack_version(created_at: Timestamp, from: &mut Unpacker<'_>) -> Option<Version> {
    let flags = from.byte()?;
    let number = from.number()?;
    let created_at = match flags & CREATED {
        0 => None,
        _ => {
            let later = from.number::<u64>()?.cast_signed();
            Some(Timestamp::from_micros(created_at.as_micros().wrapping_add(later)))
        }
    };
    let changed_at = from.time_if(flags & CHANGED)?;
    let retires_at = from.time_if(flags & RETIRES)?;
    Some(Version {
        number,
        state: match flags & STATE {
            PENDING => VersionState::Pending,
            ENABLED => VersionState::Enabled,
            DISABLED => VersionState::Disabled,
            _ => VersionState::Destroyed,
        },
        created_at,
        changed_at,
        seal: if flags & SEALED == 0 { None } else { Some(from.array()?) },
        destroyed_key: if flags & KEY_DESTROYED == 0 { None } else { Some(Box::new(from.array()?)) },
        retires_at,
        size: if flags & SIZED == 0 { None } else { Some(ValueSize::from_number(from.number()?)?) },
    })
}

/// The flag of a part that is there.
fn flag<T>(flag: u8, part: &Option<T>) -> u8 {
    if part.is_some() { flag } else { 0 }
}

fn pack_time(time: Timestamp, to: &mut Vec<u8>) {
    to.extend_from_slice(&time.as_micros().to_le_bytes());
}

fn pack_number(number: u64, to: &mut Vec<u8>) {
    prost::encoding::encode_varint(number, to);
}

/// Bytes that are yet to be read.
struct Unpacker<'a>(&'a [u8]);

impl Unpacker<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        prost::encoding::decode_varint(&mut self.0).ok()?.try_into().ok()
    }

    fn bytes(&mut self, count: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A time, where its flag is set; the outer `None` where there are too few bytes.
    fn time_if(&mut self, flag: u8) -> Option<Option<Timestamp>> {
        if flag == 0 {
            return Some(None);
        }
        Some(Some(Timestamp::from_micros(i64::from_le_bytes(self.array()?))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::packed::PackedSecret;
    use super::super::tests::secret;
    use super::*;
    use crate::domain::{Description, Minute, RotationPolicy};

    prop_compose! {
        fn any_version()(
            state in 0..4,
            times in any::<[Option<i64>; 3]>(),
            seal in any::<Option<[u8; 12]>>(),
            key in any::<Option<[u8; 32]>>(),
            size in any::<Option<u32>>(),
        ) -> Version {
            let [created_at, changed_at, retires_at] = times.map(|time| time.map(Timestamp::from_micros));
            Version {
                number: 0,
                state: match state {
                    0 => VersionState::Pending,
                    1 => VersionState::Enabled,
                    2 => VersionState::Disabled,
                    _ => VersionState::Destroyed,
                },
                created_at,
                changed_at,
                seal,
                destroyed_key: key.map(Box::new),
                retires_at,
                size: size.and_then(ValueSize::from_number),
            }
        }
    }

    fn rotation() -> Rotation {
        let interval = Some(Duration::from_secs(60));
        let policy = RotationPolicy {
            interval,
            generator: None,
            grace_period: interval,
            window: None,
            paused: true,
            retire_when_unread: false,
        };
        Rotation {
            policy,
            next_at: Some(Timestamp::from_micros(5)),
            due_told: true,
            claim: None,
            failure: None,
        }
    }

    proptest! {
        #[test]
        fn a_packed_secret_unpacks_to_itself(
            name in "[A-Za-z_][A-Za-z0-9_]{0,127}",
            description in ".{0,300}",
            pairs in proptest::collection::btree_map(".{0,40}", ".{0,300}", 0..8),
            mut versions in proptest::collection::vec(any_version(), 1..120),
            first in 1u32..u32::MAX - 200,
            times in any::<[Option<i64>; 4]>(),
            told in 0..3,
            revisions in any::<(u32, u32)>(),
            last_read in any::<u32>(),
            rotates in any::<bool>(),
        ) {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
            for (number, version) in (first..).zip(&mut versions) {
                version.number = number;
            }
            let [rotated_at, expires_at, deleted_at, purge_at] = times.map(|time| time.map(Timestamp::from_micros));
            let expected = Secret {
                description: Description::parse(&description).unwrap_or_default(),
                version: first,
                versions: Versions::from_oldest(versions).unwrap(),
                rotated_at,
                expires_at,
                expiry_told: match told {
                    0 => ExpiryTold::Nothing,
                    1 => ExpiryTold::Expiring,
                    _ => ExpiryTold::Expired,
                },
                deletion: deleted_at.zip(purge_at).map(|(deleted_at, purge_at)| Deletion { deleted_at, purge_at }),
                rotation: rotates.then(|| Box::new(rotation())),
                stored_at: Revision(u64::from(revisions.0) + u64::from(revisions.1)),
                last_read: Minute::from_number(last_read),
                ..secret(7, &name, &pairs, (i64::MIN, 9), revisions.0.into())
            };
            let packed = PackedSecret::of(&expected).unwrap();
            prop_assert_eq!(&*packed.unpack(&expected.namespace).unwrap(), &expected);
            let brief = packed.unpack_briefly(&expected.namespace, Some(first + 1)).unwrap();
            let shown = |version: &&Version| {
                [first, first + 1].contains(&version.number) || version.state == VersionState::Pending
            };
            prop_assert!(brief.versions.iter().eq(expected.versions.iter().filter(shown)));
            prop_assert_eq!((&brief.name, brief.pending_version()), (&expected.name, expected.pending_version()));
            prop_assert_eq!(packed.name_text(), expected.name.as_str());
            prop_assert!(packed.metadata().eq(expected.metadata.iter()));
            prop_assert_eq!(packed.is_deleted(), expected.is_deleted());
            prop_assert_eq!(packed.stored_versions(), expected.stored_versions().count());
        }
    }
}

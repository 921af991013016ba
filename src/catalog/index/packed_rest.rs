//! What few places look at in a secret that the index keeps, as bytes: its versions and the times that most secrets lack.
//!
//! These bytes are in memory only, so they have no versions of their own. Numbers are varints, and times have 8 bytes.

use crate::domain::{Deletion, ExpiryTold, Secret, Timestamp, ValueSize, Version, VersionState, Versions};

/// What was packed of a secret.
pub(super) struct Rest {
    pub(super) rotated_at: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) expiry_told: ExpiryTold,
    pub(super) deletion: Option<Deletion>,
    pub(super) versions: Versions,
}

const ROTATED: u8 = 1;
const EXPIRES: u8 = 1 << 1;
const DELETED: u8 = 1 << 2;
const TOLD_EXPIRING: u8 = 1 << 3;
const TOLD_EXPIRED: u8 = 1 << 4;

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
    to.push(
        flag(ROTATED, &secret.rotated_at)
            | flag(EXPIRES, &secret.expires_at)
            | flag(DELETED, &secret.deletion)
            | told,
    );
    let deletion = secret.deletion.map(|deletion| [deletion.deleted_at, deletion.purge_at]);
    let times = secret.rotated_at.into_iter().chain(secret.expires_at).chain(deletion.into_iter().flatten());
    times.for_each(|time| pack_time(time, to));
    pack_number(secret.versions.iter().count().try_into().ok()?, to);
    for version in secret.versions.iter() {
        pack_version(version, to)?;
    }
    Some(())
}

fn pack_version(version: &Version, to: &mut Vec<u8>) -> Option<()> {
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
    pack_number(version.number, to);
    let times = [version.created_at, version.changed_at, version.retires_at];
    times.into_iter().flatten().for_each(|time| pack_time(time, to));
    to.extend(version.seal.iter().flatten());
    to.extend(version.destroyed_key.iter().flat_map(|key| key.iter()));
    if let Some(size) = version.size {
        pack_number(size.number(), to);
    }
    Some(())
}

/// Reads back what [`pack_rest`] appended.
pub(super) fn unpack_rest(bytes: &[u8]) -> Option<Rest> {
    let mut from = Unpacker(bytes);
    let flags = from.byte()?;
    let rotated_at = from.time_if(flags & ROTATED)?;
    let expires_at = from.time_if(flags & EXPIRES)?;
    let (deleted_at, purge_at) = (from.time_if(flags & DELETED)?, from.time_if(flags & DELETED)?);
    let expiry_told = match flags & (TOLD_EXPIRING | TOLD_EXPIRED) {
        0 => ExpiryTold::Nothing,
        TOLD_EXPIRING => ExpiryTold::Expiring,
        _ => ExpiryTold::Expired,
    };
    let versions: Option<Vec<_>> = (0..from.number()?).map(|_| unpack_version(&mut from)).collect();
    Some(Rest {
        rotated_at,
        expires_at,
        expiry_told,
        deletion: deleted_at.zip(purge_at).map(|(deleted_at, purge_at)| Deletion { deleted_at, purge_at }),
        versions: Versions::from_oldest(versions?)?,
    })
}

fn unpack_version(from: &mut Unpacker<'_>) -> Option<Version> {
    let flags = from.byte()?;
    let number = from.number()?;
    let created_at = from.time_if(flags & CREATED)?;
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

fn pack_number(number: u32, to: &mut Vec<u8>) {
    prost::encoding::encode_varint(number.into(), to);
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

    fn number(&mut self) -> Option<u32> {
        prost::encoding::decode_varint(&mut self.0).ok()?.try_into().ok()
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
    use proptest::prelude::*;

    use super::super::packed::PackedSecret;
    use super::super::tests::secret;
    use super::*;
    use crate::domain::{Description, Minute, Revision};

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
            numbers in any::<(u64, u64, u32)>(),
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
                stored_at: Revision(numbers.1),
                last_read: Minute::from_number(numbers.2),
                ..secret(7, &name, &pairs, (i64::MIN, 9), numbers.0)
            };
            let packed = PackedSecret::of(&expected).unwrap();
            prop_assert_eq!(&*packed.unpack(&expected.namespace).unwrap(), &expected);
            prop_assert_eq!(packed.name_text(), expected.name.as_str());
            prop_assert!(packed.metadata().eq(expected.metadata.iter()));
            prop_assert_eq!(packed.is_deleted(), expected.is_deleted());
            prop_assert_eq!(packed.stored_versions(), expected.stored_versions().count());
        }
    }
}

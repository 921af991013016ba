//! The keys in etcd, all with the prefix of the store:
//!
//! | key | value |
//! | --- | --- |
//! | `current` | the pointer: format (1 byte), the generation in force (8 bytes, big-endian) |
//! | `claim` | nothing: the revision of a put of it is the number of a new generation |
//! | `head/`, generation (8) | the id (16) of the replica that made the newest commit, or nothing: every commit puts it, and last, so that its revision is the newest of the store |
//! | `data/`, generation (8), key | a record |
//! | `alive/`, id (16) | the heartbeat of a replica, under a lease |
//!
//! A generation is a whole content of the store. One is in force; a restore writes another and moves the pointer.

use etcd_client::{Compare, CompareOp, KeyValue};

use crate::domain::Revision;
use crate::store::{Key, Unavailable, UnavailableCause};

/// The format of the store in etcd. A store of another format is left alone.
const FORMAT: u8 = 1;

/// The keys of one store.
pub(super) struct Layout {
    prefix: Vec<u8>,
}

/// The generation in force, and the revision since which it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pointer {
    pub(super) generation: u64,
    pub(super) revision: i64,
}

/// What a key of etcd belongs to.
pub(super) enum EtcdKey<'a> {
    Pointer,
    Head(u64),
    Record(u64, &'a [u8]),
    Other,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.as_bytes().to_vec() }
    }

    /// The prefix of all keys of the store.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn pointer(&self) -> Vec<u8> {
        self.key(b"current", &[])
    }

    pub(super) fn claim(&self) -> Vec<u8> {
        self.key(b"claim", &[])
    }

    pub(super) fn head(&self, generation: u64) -> Vec<u8> {
        self.key(b"head/", &[&generation.to_be_bytes()])
    }

    /// The key of the heartbeat of a replica; for no id, the prefix of all heartbeats.
    pub(super) fn heartbeat(&self, id: &[u8]) -> Vec<u8> {
        self.key(b"alive/", &[id])
    }

    /// The key of a record; for a prefix of keys, the prefix of their records.
    pub(super) fn record(&self, generation: u64, key: &Key) -> Vec<u8> {
        self.key(b"data/", &[&generation.to_be_bytes(), key.as_bytes()])
    }

    /// The keys of all generations below one, as ranges: the first key is part of a range, the last is not.
    pub(super) fn below(&self, generation: u64) -> [(Vec<u8>, Vec<u8>); 2] {
        let from = |kind: &[u8], generation: u64| self.key(kind, &[&generation.to_be_bytes()]);
        [b"data/", b"head/"].map(|kind| (from(kind, 0), from(kind, generation)))
    }

    pub(super) fn parse_key<'a>(&self, key: &'a [u8]) -> EtcdKey<'a> {
        let Some(rest) = key.strip_prefix(self.prefix.as_slice()) else { return EtcdKey::Other };
        if rest == b"current" {
            return EtcdKey::Pointer;
        }
        if let Some(Ok(generation)) = rest.strip_prefix(b"head/").map(<[u8; 8]>::try_from) {
            return EtcdKey::Head(u64::from_be_bytes(generation));
        }
        match rest.strip_prefix(b"data/").and_then(|rest| rest.split_first_chunk()) {
            Some((generation, key)) => EtcdKey::Record(u64::from_be_bytes(*generation), key),
            None => EtcdKey::Other,
        }
    }

    /// Holds as long as the pointer is unchanged.
    pub(super) fn unmoved(&self, pointer: Pointer) -> Compare {
        Compare::mod_revision(self.pointer(), CompareOp::Equal, pointer.revision)
    }

    /// Never holds.
    pub(super) fn never(&self) -> Compare {
        Compare::version(self.pointer(), CompareOp::Less, 0)
    }

    /// Holds where no key has the prefix of the store.
    pub(super) fn empty(&self) -> Compare {
        Compare::create_revision(self.prefix.clone(), CompareOp::Equal, 0).with_prefix()
    }

    fn key(&self, kind: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let mut key = [self.prefix.as_slice(), kind].concat();
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

impl Pointer {
    /// The value of a pointer to a generation.
    pub(super) fn encode(generation: u64) -> Vec<u8> {
        [&[FORMAT], generation.to_be_bytes().as_slice()].concat()
    }

    pub(super) fn decode(stored: &KeyValue) -> Result<Self, Unavailable> {
        Self::read(stored.value(), stored.mod_revision())
    }

    /// The pointer in a value, which this revision put there.
    pub(super) fn read(value: &[u8], revision: i64) -> Result<Self, Unavailable> {
        match value.split_first() {
            Some((&FORMAT, generation)) => {
                let generation = generation.try_into().map_err(|_| damaged())?;
                Ok(Self { generation: u64::from_be_bytes(generation), revision })
            }
            Some((other, _)) => {
                let text = format!(
                    "the store in etcd has the format {other}, and this release knows the format {FORMAT}: nothing \
                     was changed. Use a release that knows it"
                );
                Err(Unavailable::because(UnavailableCause::Settings, text))
            }
            None => Err(damaged()),
        }
    }
}

fn damaged() -> Unavailable {
    let text = "its pointer in etcd is damaged: nothing was changed. Restore etcd from a snapshot";
    Unavailable::because(UnavailableCause::Settings, text)
}

/// The first key after all keys with this prefix.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0] // to etcd, the end of everything
}

/// The first key after this one.
pub(super) fn behind(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// A revision as etcd counts it: from 1 up, in signed numbers.
pub(super) fn revision(counted: i64) -> Revision {
    Revision(counted.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begin_with_it() {
        assert_eq!(end_of(b"ab"), b"ac");
        assert_eq!(end_of(&[1, 255, 255]), [2]);
        assert_eq!(end_of(&[255]), [0]);
    }

    #[test]
    fn every_key_is_known_again() {
        let layout = Layout::new("p/");
        assert!(matches!(layout.parse_key(&layout.pointer()), EtcdKey::Pointer));
        assert!(matches!(layout.parse_key(&layout.head(7)), EtcdKey::Head(7)));
        let key = Key::from_bytes(b"\0k");
        assert!(matches!(layout.parse_key(&layout.record(7, &key)), EtcdKey::Record(7, b"\0k")));
        for other in [layout.claim().as_slice(), b"p/", b"p/data/1234567", b"q/current", b"p/currently"] {
            assert!(matches!(layout.parse_key(other), EtcdKey::Other));
        }
    }
}

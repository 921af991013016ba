//! What a person can do to a store who has its bytes and not its keys.

use super::sample_store::{Contents, SampleStore};
use crate::schema::Kind;
use crate::store::{Entry, Key};

/// A change of a store's bytes: what stands at which keys afterwards.
#[derive(Clone)]
pub(super) struct Tampering {
    /// The first byte of the key of the record that is tampered with.
    pub(super) kind: char,
    /// What is done to it.
    pub(super) what: &'static str,
    pub(super) changes: Vec<(Key, Option<Entry>)>,
}

impl Tampering {
    fn new(kind: &Key, what: &'static str, changes: Vec<(Key, Option<Entry>)>) -> Self {
        Self { kind: kind_of(kind), what, changes }
    }

    /// The contents of a store after it.
    pub(super) fn done_to(&self, contents: &Contents) -> Contents {
        let mut contents = contents.clone();
        for (key, entry) in &self.changes {
            match entry {
                Some(entry) => contents.insert(key.clone(), entry.clone()),
                None => contents.remove(key),
            };
        }
        contents
    }
}

pub(super) fn kind_of(key: &Key) -> char {
    char::from(key.as_bytes().first().copied().unwrap_or(b'?'))
}

/// Numbers that look random and are the same in every run (Marsaglia, "Xorshift RNGs").
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }
}

/// Bits flipped, one at a time: all bits of a record, or `most` of them.
pub(super) fn flips(key: &Key, entry: &Entry, most: usize, dice: &mut Dice) -> Vec<Tampering> {
    let bits = entry.value.len() * 8;
    let chosen: Vec<usize> =
        if bits <= most { (0..bits).collect() } else { (0..most).map(|_| dice.below(bits)).collect() };
    let flip = |bit: usize| {
        let mut entry = entry.clone();
        entry.value[bit / 8] ^= 1 << (bit % 8);
        Tampering::new(key, "bit flipped", vec![(key.clone(), Some(entry))])
    };
    chosen.into_iter().map(flip).collect()
}

/// A record that is cut off, extended, emptied, and deleted.
pub(super) fn lengths(key: &Key, entry: &Entry) -> Vec<Tampering> {
    let with = |what, value: Vec<u8>| {
        Tampering::new(key, what, vec![(key.clone(), Some(Entry { value, ..entry.clone() }))])
    };
    let length = entry.value.len();
    let mut tamperings: Vec<_> = [1, 4, 5, 16, 17, 28, 33, length / 2, length - 12, length - 1]
        .into_iter()
        .filter(|cut| *cut < length)
        .map(|cut| with("cut off", entry.value[..cut].to_vec()))
        .collect();
    tamperings.push(with("cut off", entry.value[1..].to_vec()));
    tamperings.push(with("extended", [&entry.value[..], &[0]].concat()));
    tamperings.push(with("extended", [&entry.value[..], &entry.value[..]].concat()));
    tamperings.push(with("emptied", Vec::new()));
    tamperings.push(Tampering::new(key, "deleted", vec![(key.clone(), None)]));
    tamperings
}

/// A record that is copied or moved to the place of every other record of its kind, of one record of each other kind, and to
/// keys where nothing stands.
pub(super) fn places(contents: &Contents, key: &Key, entry: &Entry) -> Vec<Tampering> {
    let mut tamperings = Vec::new();
    let mut seen = Vec::new();
    for (other, present) in contents.iter().filter(|(other, _)| *other != key) {
        let same = kind_of(other) == kind_of(key);
        if !same && seen.contains(&kind_of(other)) {
            continue; // one record of each other kind is enough
        }
        seen.push(kind_of(other));
        let copied = (other.clone(), Some(Entry { value: entry.value.clone(), ..present.clone() }));
        tamperings.push(Tampering::new(key, "duplicated", vec![copied.clone()]));
        if same {
            let back = (key.clone(), Some(Entry { value: present.value.clone(), ..entry.clone() }));
            tamperings.push(Tampering::new(key, "swapped", vec![copied.clone(), back]));
            tamperings.push(Tampering::new(key, "moved", vec![copied, (key.clone(), None)]));
        }
    }
    for free in free_keys(key) {
        let copied = (free, Some(entry.clone()));
        tamperings.push(Tampering::new(key, "duplicated", vec![copied.clone()]));
        tamperings.push(Tampering::new(key, "moved", vec![copied, (key.clone(), None)]));
    }
    tamperings
}

/// Keys like this one at which nothing stands.
fn free_keys(key: &Key) -> Vec<Key> {
    let bytes = key.as_bytes();
    let mut keys: Vec<_> = [bytes.len() - 1, bytes.len().saturating_sub(5), 1]
        .into_iter()
        .filter(|at| (1..bytes.len()).contains(at))
        .map(|at| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 0x80;
            Key::from_bytes(&bytes)
        })
        .collect();
    // A key of no kind, and one of another kind.
    keys.push(Key::from_bytes(&[bytes, &[0]].concat()));
    keys.push(Key::from_bytes(&[b"z", &bytes[1..]].concat()));
    if let Kind::Secret(namespace, id) = key.kind() {
        keys.push(Key::version(namespace, id, 77));
    }
    keys
}

/// Records that are put back as they were at an earlier time, or deleted where there were none: each alone, each with the
/// digest, and in all groups in which records belong together.
pub(super) fn replays(sample: &SampleStore) -> Vec<Tampering> {
    let (older, now) = sample.snapshots.split_at(sample.snapshots.len() - 1);
    let now = &now[0];
    let mut tamperings = Vec::new();
    for then in older {
        let mut changed: Vec<Key> = then.keys().chain(now.keys()).cloned().collect();
        changed.sort();
        changed.dedup();
        changed.retain(|key| then.get(key) != now.get(key));
        let back = |key: &Key| (key.clone(), then.get(key).cloned());
        let group = |what, keys: Vec<&Key>| {
            let kind = keys.first().map_or(Key::all(), |key| (*key).clone());
            Tampering::new(&kind, what, keys.into_iter().map(back).collect())
        };
        let (digest, keyring) = (Key::digest(), Key::keyring());
        for key in &changed {
            tamperings.push(group("replayed", vec![key]));
            if *key != digest {
                tamperings.push(group("replayed with the digest", vec![key, &digest]));
                tamperings.push(group("replayed with digest and keyring", vec![key, &digest, &keyring]));
                // The digest covers neither versions nor events: with one of those alone as it is now, all the rest is older.
                if !matches!(kind_of(key), 'v' | 'f') {
                    let others = changed.iter().filter(|other| *other != key).collect();
                    tamperings.push(Tampering { kind: kind_of(key), ..group("alone not replayed", others) });
                }
            }
        }
        let without_digest = changed.iter().filter(|key| **key != digest).collect();
        tamperings.push(Tampering { kind: 'd', ..group("alone not replayed", without_digest) });
        // All of one kind, and all of one secret.
        for kind in ['a', 'b', 'e', 'n', 'i', 's', 'v', 'r'] {
            let of_kind: Vec<_> = changed.iter().filter(|key| kind_of(key) == kind).collect();
            tamperings.push(group("kind replayed", of_kind.clone()));
            tamperings.push(group("kind replayed with the digest", [of_kind, vec![&digest]].concat()));
        }
        for key in changed.iter().chain(now.keys()) {
            let Kind::Secret(_, id) = key.kind() else { continue };
            let of_it: Vec<_> = changed
                .iter()
                .filter(|key| match key.kind() {
                    Kind::Secret(_, of) | Kind::Version(_, of, _) => of == id,
                    _ => false,
                })
                .collect();
            tamperings.push(group("secret replayed", of_it.clone()));
            // The keys do not show which name belongs to which secret: all names are put back.
            let names = changed.iter().filter(|key| kind_of(key) == 'i');
            let with_names: Vec<_> = of_it.into_iter().chain(names).collect();
            tamperings.push(group("secret and names replayed", with_names.clone()));
            tamperings.push(group(
                "secret and names replayed with the digest",
                [with_names, vec![&digest]].concat(),
            ));
        }
    }
    tamperings
        .retain(|tampering| tampering.changes.iter().any(|(key, entry)| now.get(key) != entry.as_ref()));
    tamperings
}

//! What somebody can do to a store who has its bytes and not its keys.

use super::world::{Content, World};
use crate::schema::Kind;
use crate::store::{Entry, Key};

/// Something done to a store: what stands where afterwards.
#[derive(Clone)]
pub(super) struct Deed {
    /// To which kind of record.
    pub(super) kind: char,
    pub(super) what: &'static str,
    pub(super) changes: Vec<(Key, Option<Entry>)>,
}

impl Deed {
    fn new(kind: &Key, what: &'static str, changes: Vec<(Key, Option<Entry>)>) -> Self {
        Self { kind: kind_of(kind), what, changes }
    }

    /// What it makes of a content.
    pub(super) fn done_to(&self, content: &Content) -> Content {
        let mut content = content.clone();
        for (key, entry) in &self.changes {
            match entry {
                Some(entry) => content.insert(key.clone(), entry.clone()),
                None => content.remove(key),
            };
        }
        content
    }
}

pub(super) fn kind_of(key: &Key) -> char {
    char::from(key.as_bytes().first().copied().unwrap_or(b'?'))
}

/// Numbers that look random, and are the same in every run.
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

/// Bits turned over, one at a time: all of a record, or so many of them.
pub(super) fn flips(key: &Key, entry: &Entry, most: usize, dice: &mut Dice) -> Vec<Deed> {
    let bits = entry.value.len() * 8;
    let chosen: Vec<usize> =
        if bits <= most { (0..bits).collect() } else { (0..most).map(|_| dice.below(bits)).collect() };
    let flip = |bit: usize| {
        let mut entry = entry.clone();
        entry.value[bit / 8] ^= 1 << (bit % 8);
        Deed::new(key, "bit flipped", vec![(key.clone(), Some(entry))])
    };
    chosen.into_iter().map(flip).collect()
}

/// A record cut off, added to, emptied, and taken away.
pub(super) fn lengths(key: &Key, entry: &Entry) -> Vec<Deed> {
    let with = |what, value: Vec<u8>| {
        Deed::new(key, what, vec![(key.clone(), Some(Entry { value, ..entry.clone() }))])
    };
    let length = entry.value.len();
    let mut deeds: Vec<_> = [1, 4, 5, 16, 17, 28, 33, length / 2, length - 12, length - 1]
        .into_iter()
        .filter(|cut| *cut < length)
        .map(|cut| with("cut off", entry.value[..cut].to_vec()))
        .collect();
    deeds.push(with("cut off", entry.value[1..].to_vec()));
    deeds.push(with("added to", [&entry.value[..], &[0]].concat()));
    deeds.push(with("added to", [&entry.value[..], &entry.value[..]].concat()));
    deeds.push(with("emptied", Vec::new()));
    deeds.push(Deed::new(key, "deleted", vec![(key.clone(), None)]));
    deeds
}

/// A record put elsewhere: in place of each other one and in exchange with it, where none is, and where there is no such
/// thing.
pub(super) fn places(content: &Content, key: &Key, entry: &Entry) -> Vec<Deed> {
    let mut deeds = Vec::new();
    let mut seen = Vec::new();
    for (other, there) in content.iter().filter(|(other, _)| *other != key) {
        let same = kind_of(other) == kind_of(key);
        if !same && seen.contains(&kind_of(other)) {
            continue; // one of each other kind
        }
        seen.push(kind_of(other));
        let copied = (other.clone(), Some(Entry { value: entry.value.clone(), ..there.clone() }));
        deeds.push(Deed::new(key, "duplicated", vec![copied.clone()]));
        if same {
            let back = (key.clone(), Some(Entry { value: there.value.clone(), ..entry.clone() }));
            deeds.push(Deed::new(key, "swapped", vec![copied.clone(), back]));
            deeds.push(Deed::new(key, "moved", vec![copied, (key.clone(), None)]));
        }
    }
    for free in free_keys(key) {
        let copied = (free, Some(entry.clone()));
        deeds.push(Deed::new(key, "duplicated", vec![copied.clone()]));
        deeds.push(Deed::new(key, "moved", vec![copied, (key.clone(), None)]));
    }
    deeds
}

/// Keys like this one where nothing stands.
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
    // Of no kind, and of another one.
    keys.push(Key::from_bytes(&[bytes, &[0]].concat()));
    keys.push(Key::from_bytes(&[b"z", &bytes[1..]].concat()));
    if let Kind::Secret(namespace, id) = key.kind() {
        keys.push(Key::version(namespace, id, 77));
    }
    keys
}

/// Records put back as they were at an earlier time, taken away where there were none: each alone, each with the digest, and
/// in all the groups in which they belong together.
pub(super) fn replays(world: &World) -> Vec<Deed> {
    let (older, now) = world.snapshots.split_at(world.snapshots.len() - 1);
    let now = &now[0];
    let mut deeds = Vec::new();
    for then in older {
        let mut changed: Vec<Key> = then.keys().chain(now.keys()).cloned().collect();
        changed.sort();
        changed.dedup();
        changed.retain(|key| then.get(key) != now.get(key));
        let back = |key: &Key| (key.clone(), then.get(key).cloned());
        let group = |what, keys: Vec<&Key>| {
            let kind = keys.first().map_or(Key::all(), |key| (*key).clone());
            Deed::new(&kind, what, keys.into_iter().map(back).collect())
        };
        let (digest, keyring) = (Key::digest(), Key::keyring());
        for key in &changed {
            deeds.push(group("replayed", vec![key]));
            if *key != digest {
                deeds.push(group("replayed with the digest", vec![key, &digest]));
                deeds.push(group("replayed with digest and keyring", vec![key, &digest, &keyring]));
                // Versions are no part of what is vouched for: with one of them alone as it is now, all is older.
                if kind_of(key) != 'v' {
                    let others = changed.iter().filter(|other| *other != key).collect();
                    deeds.push(Deed { kind: kind_of(key), ..group("alone not replayed", others) });
                }
            }
        }
        let without_digest = changed.iter().filter(|key| **key != digest).collect();
        deeds.push(Deed { kind: 'd', ..group("alone not replayed", without_digest) });
        // All of one kind, and all of one secret.
        for kind in ['a', 'n', 'i', 's', 'v', 'r'] {
            let of_kind: Vec<_> = changed.iter().filter(|key| kind_of(key) == kind).collect();
            deeds.push(group("kind replayed", of_kind.clone()));
            deeds.push(group("kind replayed with the digest", [of_kind, vec![&digest]].concat()));
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
            deeds.push(group("secret replayed", of_it.clone()));
            // Which name is whose is not to be seen: all of them.
            let names = changed.iter().filter(|key| kind_of(key) == 'i');
            let with_names: Vec<_> = of_it.into_iter().chain(names).collect();
            deeds.push(group("secret and names replayed", with_names.clone()));
            deeds.push(group(
                "secret and names replayed with the digest",
                [with_names, vec![&digest]].concat(),
            ));
        }
    }
    deeds.retain(|deed| deed.changes.iter().any(|(key, entry)| now.get(key) != entry.as_ref()));
    deeds
}

//! The marks of all records of a store, to be compared with its digest.

use std::collections::{HashMap, HashSet};

use crate::crypto::{Keyring, Mac, record_seal};
use crate::parallel::by_shares;
use crate::schema::Kind;
use crate::store::Key;

/// The mark of a record: its nonce.
pub(super) type Mark = [u8; 12];

/// The marks of the records of a store, collected while the store is read.
#[derive(Default)]
pub struct Inventory {
    /// What a scan has found, each key once.
    found: PackedMarks,
    /// What is known of other keys, or of these since they were found; `None`: there is no record. It counts in place of what was found.
    known: HashMap<Key, Option<Mark>>,
}

/// Keys and their marks in large blocks of memory. If each key had a block of its own, millions of small holes would be left once they
/// are freed, and the allocator would give them out, one cache miss after the other.
#[derive(Default)]
struct PackedMarks(Vec<Vec<u8>>);

/// The size of a block, in bytes.
const BLOCK: usize = 16 << 10;

impl PackedMarks {
    /// Adds a key: its length (2 bytes), the key, its mark.
    fn push(&mut self, key: &Key, mark: &Mark) {
        let key = key.as_bytes();
        // No key with a mark is longer. One that were so would be missing in the sum, and the store refused.
        let Ok(length) = u16::try_from(key.len()) else { return };
        let size = 2 + key.len() + mark.len();
        if self.0.last().is_none_or(|block| block.len() + size > BLOCK) {
            self.0.push(Vec::with_capacity(BLOCK.max(size)));
        }
        if let Some(block) = self.0.last_mut() {
            block.extend_from_slice(&length.to_be_bytes());
            block.extend_from_slice(key);
            block.extend_from_slice(mark);
        }
    }

    /// The keys and marks of a block.
    fn of_block(block: &[u8]) -> impl Iterator<Item = (&[u8], &Mark)> {
        let mut rest = block;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk()?;
            let (key, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let (mark, after) = after.split_first_chunk()?;
            rest = after;
            Some((key, mark))
        })
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &Mark)> {
        self.0.iter().flat_map(|block| Self::of_block(block))
    }
}

impl Inventory {
    /// Notes a record that a scan has found, in place of what was known of its key. The scan must not find a key twice
    /// ([`Pages`](crate::store::Pages) sees to that): the two would count as none.
    pub fn found(&mut self, key: &Key, record: &[u8]) {
        let Some(mark) = mark(key, record) else { return };
        match self.known.get_mut(key) {
            Some(known) => *known = Some(mark),
            None => self.found.push(key, &mark),
        }
    }

    /// Notes a record, in place of an earlier one at its key.
    pub fn put(&mut self, key: &Key, record: &[u8]) {
        if let Some(mark) = mark(key, record) {
            self.known.insert(key.clone(), Some(mark));
        }
    }

    /// Notes that there is no record at a key.
    pub fn delete(&mut self, key: &Key) {
        if covers(key) {
            self.known.insert(key.clone(), None);
        }
    }

    /// The mark of the keyring.
    pub(super) fn keyring(&self) -> Option<Mark> {
        let key = Key::keyring();
        let found = || self.found.iter().find(|(found, _)| *found == key.as_bytes()).map(|(_, mark)| *mark);
        self.known.get(&key).copied().unwrap_or_else(found)
    }

    /// The sum of all records.
    pub(super) fn sum(&self, keyring: &Keyring) -> Mac {
        let known: HashSet<&[u8]> = self.known.keys().map(Key::as_bytes).collect();
        let sums = by_shares(&self.found.0, |blocks| {
            let found = blocks.iter().flat_map(|block| PackedMarks::of_block(block));
            sum_of(keyring, found.filter(|(key, _)| !known.contains(key)))
        });
        let known = self.known.iter().filter_map(|(key, mark)| Some((key.as_bytes(), mark.as_ref()?)));
        let mut sum = sum_of(keyring, known);
        sums.iter().for_each(|part| toggle(&mut sum, part));
        sum
    }
}

/// The sum of these records.
fn sum_of<'a>(keyring: &Keyring, records: impl Iterator<Item = (&'a [u8], &'a Mark)>) -> Mac {
    let mut sum = Mac::default();
    records.for_each(|(key, mark)| toggle(&mut sum, &element(keyring, key, mark)));
    sum
}

/// What a record adds to the sum.
pub(super) fn element(keyring: &Keyring, key: &[u8], mark: &Mark) -> Mac {
    keyring.element_mac(&[key, mark])
}

/// Adds an element to a sum, or removes it.
pub(super) fn toggle(sum: &mut Mac, element: &Mac) {
    for (sum, element) in sum.iter_mut().zip(element) {
        *sum ^= element;
    }
}

/// Whether the digest depends on the record at a key.
pub(super) fn covers(key: &Key) -> bool {
    match key.kind() {
        Kind::Keyring
        | Kind::ApiKey(_)
        | Kind::Role(_)
        | Kind::Binding(_)
        | Kind::AccessEpoch
        | Kind::Namespace(_)
        | Kind::Name(..)
        | Kind::Secret(..)
        | Kind::IdempotencyRecord(_) => true,
        // Usage says nothing that anybody is let in by, and changes all the time: to read all of it again at each start and to
        // look up what each commit replaces would cost more than it protects.
        Kind::Version(..)
        | Kind::Digest
        | Kind::AuditRecord(..)
        | Kind::AuditAnchor(_)
        | Kind::SecretUsage(..)
        | Kind::KeyUsage(_)
        | Kind::BindingUsage(_)
        // The history: see SECURITY.md.
        | Kind::Event(_)
        | Kind::HistoryStart
        | Kind::Other => false,
    }
}

/// The mark of a record, which no other record at its key has; `None` where the digest does not cover the key.
pub(super) fn mark(key: &Key, record: &[u8]) -> Option<Mark> {
    if !covers(key) {
        return None;
    }
    // The keyring's nonce has no fixed place, but its record ends with a tag. A record that is too short for a mark
    // opens nowhere.
    let mark = if key.kind() == Kind::Keyring { record.last_chunk().copied() } else { record_seal(record) };
    Some(mark.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKeys;

    #[test]
    fn an_inventory_holds_the_last_that_was_noted_of_each_key() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let record = |byte: u8| [byte; 40];
        let key = |n: u16| Key::api_key(&[n.to_be_bytes().as_slice(), &[0; 8]].concat().try_into().unwrap());
        // So many that their sum is computed in shares.
        let many: Vec<_> = (100..60_000).map(key).collect();
        let (mut scanned, mut plain) = (Inventory::default(), Inventory::default());
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(key);
        scanned.put(&a, &record(9)); // found later, as it is by then
        scanned.delete(&b); // the same
        scanned.delete(&e); // never found
        for found in [&a, &b, &c, &d].into_iter().chain(&many) {
            scanned.found(found, &record(1));
        }
        scanned.put(&c, &record(2));
        scanned.delete(&d);
        scanned.delete(&many[7]);
        scanned.put(&many[7], &record(3));
        for (key, byte) in [(&a, 1), (&b, 1), (&c, 2)] {
            plain.put(key, &record(byte));
        }
        for (at, key) in many.iter().enumerate() {
            plain.put(key, &record(if at == 7 { 3 } else { 1 }));
        }
        let sum = plain.sum(&keyring);
        assert_eq!(scanned.sum(&keyring), sum);
        plain.delete(&many[8]);
        assert_ne!(plain.sum(&keyring), sum);
    }
}

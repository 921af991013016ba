//! The sizes of values, where a quota limits their bytes.
//!
//! The record of a secret does not hold the sizes of its values: each follows from the length of the record of its version. A change
//! that makes a version puts that record too. A scan of the store does not read versions, which hold all values; only where a quota
//! limits bytes, it reads those of the secrets that count, beside the secrets.

use std::collections::{HashMap, VecDeque};

use super::state::State;
use crate::crypto::value_size;
use crate::domain::{SecretId, ValueSize};
use crate::schema::{Kind, NamespaceId};
use crate::store::{Change, Entry, Key, Store, Unavailable};

/// How many versions are read at a time. They can be large.
const PAGE: usize = 500;

/// The sizes of values, by their secrets and the numbers of their versions.
pub(super) type ValueSizes = HashMap<(SecretId, u32), ValueSize>;

/// The sizes of the values that a change puts.
pub(super) fn sizes_in(change: &Change) -> ValueSizes {
    let versions = change.put.iter().filter_map(|(key, record)| sized(key, record));
    versions.map(|((_, id, number), size)| ((id, number), size)).collect()
}

/// A walk over the versions of a store, beside one over its secrets, which have the same order.
pub(super) struct SizeScan<'a> {
    store: &'a dyn Store,
    /// The last version that was read.
    after: Option<Key>,
    /// Versions that were read already, of secrets that come later.
    ahead: VecDeque<(Place, ValueSize)>,
}

type Place = (NamespaceId, SecretId, u32);

impl<'a> SizeScan<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, after: None, ahead: VecDeque::new() }
    }

    /// The sizes of the values of these secrets, the next ones in the order of the store, as far as they count. A version that was
    /// made since its place was read is missing: the watch brings its change.
    pub(super) async fn of(
        &mut self,
        secrets: &[(Key, Entry)],
        state: &State,
    ) -> Result<ValueSizes, Unavailable> {
        let counted = secrets.iter().filter_map(|(key, _)| match key.kind() {
            Kind::Secret(namespace, id) if state.counts_bytes(namespace) => Some((namespace, id)),
            _ => None,
        });
        let counted: Vec<_> = counted.collect();
        let (Some(first), Some(last)) = (counted.first(), counted.last()) else {
            return Ok(ValueSizes::default());
        };
        self.skip_to((first.0, first.1, 0));
        let last = (last.0, last.1, u32::MAX);
        while self.ahead.back().is_none_or(|(place, _)| *place <= last) && self.read().await? {}
        let passed = self.ahead.partition_point(|(place, _)| *place <= last);
        Ok(self.ahead.drain(..passed).map(|((_, id, number), size)| ((id, number), size)).collect())
    }

    /// Leaves out the versions before a place, of which no version is.
    fn skip_to(&mut self, place: Place) {
        let passed = self.ahead.partition_point(|(before, _)| *before < place);
        self.ahead.drain(..passed);
        if self.ahead.is_empty() {
            let (namespace, id, number) = place;
            let key = Key::version(namespace, id, number);
            self.after = self.after.take().filter(|after| *after >= key).or(Some(key));
        }
    }

    /// Reads some more versions. False: there are no more.
    async fn read(&mut self) -> Result<bool, Unavailable> {
        let page = self.store.scan(&Key::versions(), self.after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(false) };
        self.after = Some(last.clone());
        self.ahead.extend(page.iter().filter_map(|(key, entry)| sized(key, &entry.value)));
        Ok(true)
    }
}

/// The place of a version and the size of its value; `None` for other records.
fn sized(key: &Key, record: &[u8]) -> Option<(Place, ValueSize)> {
    match key.kind() {
        Kind::Version(namespace, id, number) => Some(((namespace, id, number), value_size(record)?)),
        _ => None,
    }
}

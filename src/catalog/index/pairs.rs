//! The secrets that have a pair of metadata, for each pair that a secret has.

use std::collections::HashMap;

use super::orders::{Sorted, insert, remove};
use super::packed::PackedSecret;
use crate::domain::OrderBy;

/// The secrets of each pair, in the order of their names: in orders by time too, each change of a secret would move it in all its
/// pairs. There is no entry for a pair that no secret has.
#[derive(Default)]
pub(super) struct PairOrders(HashMap<Box<str>, HashMap<Box<str>, Sorted>>);

impl PairOrders {
    /// The pairs of these secrets, which come in the order of their names.
    pub(super) fn of<'a>(secrets: impl Iterator<Item = &'a PackedSecret>) -> Self {
        let mut pairs = Self::default();
        for secret in secrets {
            for (key, value) in secret.metadata() {
                pairs.change(key, value, |sorted| sorted.push(secret.clone()));
            }
        }
        pairs
    }

    /// The secrets that have this pair, in the order of their names.
    pub(super) fn get(&self, key: &str, value: &str) -> Option<&Sorted> {
        self.0.get(key)?.get(value)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a secret, in place of one that has the same id, name and pairs.
    pub(super) fn insert(&mut self, secret: &PackedSecret) {
        for (key, value) in secret.metadata() {
            self.change(key, value, |sorted| insert(sorted, secret, OrderBy::Name));
        }
    }

    /// Removes a secret, given in the state in which it was added, from the pairs in which its next state, which is added then, has
    /// another place.
    pub(super) fn remove(&mut self, secret: &PackedSecret, next: Option<&PackedSecret>) {
        let next = next.filter(|next| next.name() == secret.name());
        for (key, value) in secret.metadata() {
            if next.is_some_and(|next| next.metadata().any(|pair| pair == (key, value))) {
                continue;
            }
            let Some(values) = self.0.get_mut(key) else { continue };
            if let Some(sorted) = values.get_mut(value) {
                remove(sorted, secret, OrderBy::Name);
                if sorted.len() == 0 {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// Changes the secrets of a pair, which may be none yet.
    fn change(&mut self, key: &str, value: &str, change: impl FnOnce(&mut Sorted)) {
        // Most pairs are there already, so that their texts need no copy.
        match self.0.get_mut(key).and_then(|values| values.get_mut(value)) {
            Some(sorted) => change(sorted),
            None => change(self.0.entry(key.into()).or_default().entry(value.into()).or_default()),
        }
    }
}

//! The secrets that have a pair of metadata, for each pair that a secret has.

use std::collections::HashMap;

use super::orders::Orders;
use super::packed::PackedSecret;
use crate::domain::Metadata;

/// The secrets of each pair, in every order. There is no entry for a pair that no secret has.
#[derive(Default)]
pub(super) struct PairOrders(HashMap<Box<str>, HashMap<Box<str>, Orders>>);

impl PairOrders {
    /// The pairs of these secrets.
    pub(super) fn of(secrets: &Orders) -> Self {
        let mut pairs = Self::default();
        for (by, secret) in secrets.in_every_order() {
            for (key, value) in secret.metadata() {
                pairs.change(key, value, |secrets| secrets.push(by, secret));
            }
        }
        pairs
    }

    /// The secrets that have this pair.
    pub(super) fn get(&self, key: &str, value: &str) -> Option<&Orders> {
        self.0.get(key)?.get(value)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a secret, in place of one that has the same id, the same pairs and the same place in every order.
    pub(super) fn insert(&mut self, secret: &PackedSecret) {
        for (key, value) in secret.metadata() {
            self.change(key, value, |secrets| secrets.insert(secret));
        }
    }

    /// Removes a secret, given in the state in which it was added, from the places that its next state, which is added then, does not
    /// have.
    pub(super) fn remove(&mut self, secret: &PackedSecret, next: Option<&PackedSecret>) {
        let of_next = next.map(PackedSecret::metadata_text).unwrap_or_default();
        for (key, value) in secret.metadata() {
            let is_kept = Metadata::pairs_of(of_next).any(|pair| pair == (key, value));
            let Some(values) = self.0.get_mut(key) else { continue };
            if let Some(secrets) = values.get_mut(value) {
                secrets.remove(secret, next.filter(|_| is_kept));
                if secrets.len() == 0 {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// Changes the secrets of a pair, which may be none yet.
    fn change(&mut self, key: &str, value: &str, change: impl FnOnce(&mut Orders)) {
        // Most pairs are there already, so that their texts need no copy.
        match self.0.get_mut(key).and_then(|values| values.get_mut(value)) {
            Some(secrets) => change(secrets),
            None => change(self.0.entry(key.into()).or_default().entry(value.into()).or_default()),
        }
    }
}

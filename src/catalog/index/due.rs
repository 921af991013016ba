//! When the service has something to do about the secrets of a namespace, in the order of time. To find what is due costs nothing
//! for all the other secrets.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use crate::domain::{Secret, SecretId, Timestamp};

/// The times of the secrets that have one.
#[derive(Default)]
pub(super) struct DueTimes {
    /// How long an expired secret is kept.
    retention: Duration,
    times: BTreeSet<(Timestamp, SecretId)>,
}

impl DueTimes {
    pub(super) fn new(retention: Duration) -> Self {
        Self { retention, times: BTreeSet::new() }
    }

    /// Adds a secret.
    pub(super) fn insert(&mut self, secret: &Secret) {
        self.times.extend(secret.next_due(self.retention).map(|at| (at, secret.id)));
    }

    /// Removes a secret, given in the state in which it was added.
    pub(super) fn remove(&mut self, secret: &Secret) {
        if let Some(at) = secret.next_due(self.retention) {
            self.times.remove(&(at, secret.id));
        }
    }

    /// The first of the times.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.times.first().map(|(at, _)| *at)
    }

    /// The times behind a place and their secrets, in order.
    pub(super) fn after(
        &self,
        place: Option<(Timestamp, SecretId)>,
    ) -> impl Iterator<Item = (Timestamp, SecretId)> {
        self.times.range((place.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)).copied()
    }

    /// The times and their secrets, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Timestamp, SecretId)> {
        self.times.iter().copied()
    }
}

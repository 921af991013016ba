//! Quotas: how much the secrets of a namespace, and of all namespaces below it, may take together.
//!
//! [`Quotas`] counts what is stored as the catalog sees it, and what is reserved for changes that are under way. A change that takes
//! more room gets a [`Reservation`] when it is planned. What it takes is counted twice at no time, and at no time not at all: when the
//! catalog shows the change of a secret, the same step counts it as stored and ends the reservation. So as many changes are made as
//! there is room for, however many are under way at once. Each change costs a few additions for each quota that it concerns, of which
//! there is at most one for each part of the namespace, and one for the whole store.
//!
//! *Called by:* the catalog, which counts; `app/secret`, which reserves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::QuotaSettings;
use crate::domain::{Invalid, Namespace, Secret, SecretId};

/// How much the secrets of a namespace and of all namespaces below it may take together. `None`: no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The namespace; `None`: the whole store.
    pub namespace: Option<Namespace>,
    /// The number of secrets, deleted ones too until they are removed for good.
    pub secrets: Option<u64>,
    /// The bytes of the values of all their versions.
    pub bytes: Option<u64>,
}

impl Quota {
    /// A configured quota. Fails where its namespace is none.
    pub fn of(settings: &QuotaSettings) -> Result<Self, Invalid> {
        let namespace = settings.namespace.as_deref().map(Namespace::parse).transpose()?;
        Ok(Self { namespace, secrets: settings.secrets, bytes: settings.bytes.map(|bytes| bytes.as_u64()) })
    }
}

/// What secrets take of a quota.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// The number of secrets.
    pub secrets: u64,
    /// The bytes of the values of all their versions.
    pub bytes: u64,
}

impl Amount {
    /// What one secret takes.
    pub fn of(secret: &Secret) -> Self {
        Self { secrets: 1, bytes: secret.value_bytes() }
    }

    /// Adds what something takes.
    pub fn add(&mut self, more: Self) {
        self.secrets = self.secrets.saturating_add(more.secrets);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    /// Subtracts what something has taken.
    pub fn subtract(&mut self, less: Self) {
        *self = self.without(less);
    }

    /// How much more this is than another amount.
    fn without(self, other: Self) -> Self {
        Self {
            secrets: self.secrets.saturating_sub(other.secrets),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// How much of a quota is used.
#[derive(Debug, Clone)]
pub struct QuotaUse {
    /// The quota.
    pub quota: Quota,
    /// What is stored. Bytes are counted only where a quota limits them.
    pub used: Amount,
}

/// A quota that has no room for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaReached {
    /// The namespace of the quota: that of the secret, or one above it. `None`: the whole store.
    pub namespace: Option<Namespace>,
    /// What there is no room for.
    pub limit: QuotaLimit,
}

/// A limit of a quota, and how much it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaLimit {
    /// So many secrets.
    Secrets(u64),
    /// So many bytes of values.
    Bytes(u64),
}

/// All quotas of a store, and what is used of them.
pub struct Quotas {
    quotas: Arc<[Quota]>,
    /// The places of the quotas in the list, by their namespaces.
    places: HashMap<Option<Namespace>, usize>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// What is used of each quota.
    of: Vec<Count>,
    /// What is reserved, by the secret that is to be changed. A secret has more than one reservation only for a moment: one change
    /// is made, and the others are planned again.
    reserved: HashMap<SecretId, Vec<Reserved>>,
    /// The number of the next reservation.
    next: u64,
}

#[derive(Clone, Copy, Default)]
struct Count {
    stored: Amount,
    reserved: Amount,
}

struct Reserved {
    number: u64,
    amount: Amount,
    concerned: Arc<[usize]>,
}

/// The quotas that the secrets of one namespace concern. Cheap to clone.
#[derive(Clone)]
pub struct NamespaceQuotas {
    all: Arc<Quotas>,
    /// Their places: that of the namespace itself first, then those above it.
    concerned: Arc<[usize]>,
}

/// Room in the quotas for a change. It is given back when this is dropped, unless the change was counted meanwhile. Hold it until the
/// catalog shows the change, or the change has failed.
#[must_use]
pub struct Reservation(Option<(Arc<Quotas>, SecretId, u64)>);

impl Quotas {
    /// These quotas, of which nothing is used yet.
    pub fn new(quotas: Arc<[Quota]>) -> Arc<Self> {
        let places = quotas.iter().enumerate().map(|(at, quota)| (quota.namespace.clone(), at)).collect();
        let counts = Counts { of: vec![Count::default(); quotas.len()], ..Counts::default() };
        Arc::new(Self { quotas, places, counts: Mutex::new(counts) })
    }

    /// Those that the secrets of a namespace concern.
    pub fn of(self: &Arc<Self>, namespace: &Namespace) -> NamespaceQuotas {
        let names = namespace.and_above().map(Some).chain([None]);
        let concerned = names.filter_map(|name| self.places.get(&name).copied()).collect();
        NamespaceQuotas { all: self.clone(), concerned }
    }

    /// Whether one of them limits bytes, so that the sizes of values have to be known.
    pub fn limit_bytes(&self) -> bool {
        self.quotas.iter().any(|quota| quota.bytes.is_some())
    }

    /// How much of each is used, in the order of the configuration.
    pub fn usage(&self) -> Vec<QuotaUse> {
        let counts = self.lock();
        let used = self.quotas.iter().zip(&counts.of);
        used.map(|(quota, count)| QuotaUse { quota: quota.clone(), used: count.stored }).collect()
    }

    /// The largest part of a quota's limit that is used: of secrets, and of bytes. `None` where no quota has such a limit. A quota
    /// that was lowered can be used by more than all of it.
    pub fn largest_use(&self) -> [Option<f64>; 2] {
        let counts = self.lock();
        let part = |limit: fn(&Quota) -> Option<u64>, used: fn(&Amount) -> u64| {
            let parts = self.quotas.iter().zip(&counts.of);
            let parts =
                parts.filter_map(|(quota, count)| Some(used(&count.stored) as f64 / limit(quota)? as f64));
            parts.reduce(f64::max)
        };
        [part(|quota| quota.secrets, |used| used.secrets), part(|quota| quota.bytes, |used| used.bytes)]
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NamespaceQuotas {
    /// Whether one of them limits bytes.
    pub fn limit_bytes(&self) -> bool {
        let quotas = self.concerned.iter().filter_map(|at| self.all.quotas.get(*at));
        quotas.into_iter().any(|quota| quota.bytes.is_some())
    }

    /// Notes that the namespace holds another amount after a change of these secrets, which the catalog shows from now on. What was
    /// reserved for them ends.
    pub fn changed(&self, before: Amount, after: Amount, secrets: impl IntoIterator<Item = SecretId>) {
        if self.concerned.is_empty() {
            return;
        }
        let mut counts = self.all.lock();
        for at in self.concerned.iter() {
            let Some(count) = counts.of.get_mut(*at) else { continue };
            count.stored.subtract(before.without(after));
            count.stored.add(after.without(before));
        }
        if !counts.reserved.is_empty() {
            secrets.into_iter().for_each(|id| counts.release(id, |_| true));
        }
    }

    /// Reserves what a secret is to take more after a change. A change that takes no more is never refused, also where a quota is
    /// exceeded already.
    pub fn reserve(&self, id: SecretId, before: Amount, after: Amount) -> Result<Reservation, QuotaReached> {
        let more = after.without(before);
        if self.concerned.is_empty() || more == Amount::default() {
            return Ok(Reservation::none());
        }
        let mut counts = self.all.lock();
        let concerned = || self.concerned.iter().filter_map(|at| Some((*at, self.all.quotas.get(*at)?)));
        for (at, quota) in concerned() {
            let Some(count) = counts.of.get(at) else { continue };
            if let Some(limit) = count.refusal(quota, more) {
                return Err(QuotaReached { namespace: quota.namespace.clone(), limit });
            }
        }
        concerned().for_each(|(at, _)| {
            if let Some(count) = counts.of.get_mut(at) {
                count.reserved.add(more);
            }
        });
        let number = counts.next;
        counts.next += 1;
        let reserved = Reserved { number, amount: more, concerned: self.concerned.clone() };
        counts.reserved.entry(id).or_default().push(reserved);
        Ok(Reservation(Some((self.all.clone(), id, number))))
    }
}

impl Counts {
    /// Ends those reservations for a secret whose numbers are meant.
    fn release(&mut self, id: SecretId, is_meant: impl Fn(u64) -> bool) {
        let Some(reserved) = self.reserved.get_mut(&id) else { return };
        for ended in reserved.extract_if(.., |reserved| is_meant(reserved.number)) {
            for at in ended.concerned.iter() {
                if let Some(count) = self.of.get_mut(*at) {
                    count.reserved.subtract(ended.amount);
                }
            }
        }
        if reserved.is_empty() {
            self.reserved.remove(&id);
        }
    }
}

impl Count {
    /// The limit that has no room for so much more.
    fn refusal(&self, quota: &Quota, more: Amount) -> Option<QuotaLimit> {
        let exceeds = |limit: u64, stored: u64, reserved: u64, more: u64| {
            more > 0 && stored.saturating_add(reserved).saturating_add(more) > limit
        };
        let (stored, reserved) = (self.stored, self.reserved);
        match (quota.secrets, quota.bytes) {
            (Some(limit), _) if exceeds(limit, stored.secrets, reserved.secrets, more.secrets) => {
                Some(QuotaLimit::Secrets(limit))
            }
            (_, Some(limit)) if exceeds(limit, stored.bytes, reserved.bytes, more.bytes) => {
                Some(QuotaLimit::Bytes(limit))
            }
            _ => None,
        }
    }
}

impl Reservation {
    /// The reservation of a change that needs none.
    pub fn none() -> Self {
        Self(None)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some((quotas, id, number)) = self.0.take() {
            quotas.lock().release(id, |reserved| reserved == number);
        }
    }
}

#[cfg(test)]
mod tests;

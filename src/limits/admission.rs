//! Lets requests in: so many of all callers, and so many of each principal, with so many bytes in memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rate::Rate;
use super::{Counted, Counter, LimitReached, LimitUse};
use crate::config::Limits;

/// The number of principals below which the table of principals is not searched for idle ones.
const FEW: usize = 256;

/// The part of all requests that a principal may have under way once only that part is left: a quarter.
const SHARE: usize = 4;
/// The part of all requests that is kept for requests that operate the service: a sixteenth.
const OPERATING: usize = 16;

/// The doorkeeper of all requests whose principal is known. `K` tells principals apart.
pub struct Admission<K> {
    limits: Limits,
    requests: Arc<Counter>,
    memory: Arc<Counter>,
    principals: Mutex<Principals<K>>,
}

struct Principals<K> {
    known: HashMap<K, Arc<Principal>>,
    /// The number of principals at which idle ones are removed next.
    tidy_at: usize,
    /// The refusals of principals that have been removed, at each limit of a principal.
    removed: Vec<LimitUse>,
}

/// What one principal has under way.
struct Principal {
    requests: Arc<Counter>,
    memory: Arc<Counter>,
    rate: Option<Rate>,
}

/// The place of a request among those under way, and the bytes that it and its reply take. Everything is given back when
/// the last clone is dropped.
pub struct Allowance {
    held: Mutex<Held>,
    _principal: Arc<Principal>,
    _requests: [Counted; 2],
}

/// The bytes of a request and its reply, as each of the two limits counts them.
struct Held {
    all: (Counted, usize),
    own: (Counted, usize),
}

impl<K: Hash + Eq + Clone> Admission<K> {
    /// Nothing is under way yet.
    pub fn new(limits: &Limits) -> Self {
        let bytes = usize::try_from(limits.memory.as_u64()).unwrap_or(usize::MAX);
        let removed = Principal::new(limits).usage();
        let principals = Principals { known: HashMap::new(), tidy_at: FEW, removed };
        Self {
            limits: *limits,
            requests: Counter::new("requests", limits.requests),
            memory: Counter::new("memory", bytes),
            principals: Mutex::new(principals),
        }
    }

    /// Lets a request of a principal in, or names the limit that keeps it out. The last places of all are for requests that
    /// operate the service: those can end the keys of the others.
    pub fn admit(&self, principal: &K, operates: bool) -> Result<Arc<Allowance>, LimitReached> {
        let principal = self.principal(principal);
        if let Some(rate) = &principal.rate {
            rate.check()?;
        }
        if !operates {
            self.leave_room(&principal)?;
        }
        let per_principal = principal.requests.limit();
        let own = principal.requests.enter().ok_or(LimitReached::RequestsPerPrincipal(per_principal))?;
        let all = self.requests.enter().ok_or(LimitReached::Requests(self.requests.limit()))?;
        self.check_memory(&principal, 1)?;
        let held = Held {
            all: (self.memory.nothing(), self.memory.limit()),
            own: (principal.memory.nothing(), principal.memory.limit()),
        };
        Ok(Arc::new(Allowance { held: Mutex::new(held), _principal: principal, _requests: [own, all] }))
    }

    /// Fails where so many bytes more have no room in memory. Nothing is reserved: this saves the work on a reply that would be
    /// refused.
    pub fn check_room(&self, principal: &K, bytes: usize) -> Result<(), LimitReached> {
        self.check_memory(&self.principal(principal), bytes)
    }

    fn check_memory(&self, principal: &Principal, bytes: usize) -> Result<(), LimitReached> {
        if !principal.memory.has_room(bytes) {
            principal.memory.refuse();
            return Err(LimitReached::MemoryPerPrincipal(principal.memory.limit()));
        }
        if !self.memory.has_room(bytes) {
            self.memory.refuse();
            return Err(LimitReached::Memory(self.memory.limit()));
        }
        Ok(())
    }

    /// Fails where a request would take the room of others: the last places, and near the limit more than a principal's share.
    fn leave_room(&self, principal: &Principal) -> Result<(), LimitReached> {
        let (limit, used) = (self.requests.limit(), self.requests.used());
        let share = limit / SHARE;
        if used >= limit - limit / OPERATING {
            self.requests.refuse();
            return Err(LimitReached::Requests(limit));
        }
        if used > limit - share && principal.requests.used() > share {
            principal.requests.refuse();
            return Err(LimitReached::Share(share));
        }
        Ok(())
    }

    /// How much of each limit is used.
    pub fn usage(&self) -> Vec<LimitUse> {
        let principals = self.principals();
        let mut of_principals = principals.removed.clone();
        for principal in principals.known.values() {
            join(&mut of_principals, principal);
        }
        [self.requests.usage(), self.memory.usage()].into_iter().chain(of_principals).collect()
    }

    fn principal(&self, key: &K) -> Arc<Principal> {
        let mut principals = self.principals();
        if let Some(principal) = principals.known.get(key) {
            return principal.clone();
        }
        principals.tidy();
        let principal = Arc::new(Principal::new(&self.limits));
        principals.known.insert(key.clone(), principal.clone());
        principal
    }

    fn principals(&self) -> MutexGuard<'_, Principals<K>> {
        self.principals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Principals<K> {
    /// Removes idle principals once there are many, so that the table follows the callers of the moment.
    fn tidy(&mut self) {
        if self.known.len() < self.tidy_at {
            return;
        }
        let removed = &mut self.removed;
        self.known.retain(|_, principal| {
            let idle =
                Arc::strong_count(principal) == 1 && principal.rate.as_ref().is_none_or(Rate::is_unused);
            if idle {
                join(removed, principal);
            }
            !idle
        });
        self.tidy_at = self.known.len().saturating_mul(2).max(FEW);
    }
}

impl Principal {
    /// A principal that has nothing under way.
    fn new(limits: &Limits) -> Self {
        let bytes = usize::try_from(limits.memory_per_principal.as_u64()).unwrap_or(usize::MAX);
        Self {
            requests: Counter::new("requests_per_principal", limits.requests_per_principal),
            memory: Counter::new("memory_per_principal", bytes),
            rate: limits.requests_per_second.map(Rate::new),
        }
    }

    /// How much it uses of each of its limits.
    fn usage(&self) -> Vec<LimitUse> {
        let rate = self.rate.as_ref().map(Rate::usage);
        [self.requests.usage(), self.memory.usage()].into_iter().chain(rate).collect()
    }
}

/// Adds what a principal uses to what others use: the most of them, and all refusals.
fn join(sum: &mut [LimitUse], principal: &Principal) {
    for (sum, one) in sum.iter_mut().zip(principal.usage()) {
        sum.used = sum.used.max(one.used);
        sum.refused += one.refused;
    }
}

impl Allowance {
    /// Reserves bytes, or names the limit that they would exceed.
    pub fn reserve(&self, bytes: usize) -> Result<(), LimitReached> {
        let mut held = self.held();
        if !held.own.0.grow(bytes) {
            return Err(LimitReached::MemoryPerPrincipal(held.own.1));
        }
        if !held.all.0.grow(bytes) {
            held.own.0.shrink(bytes);
            return Err(LimitReached::Memory(held.all.1));
        }
        Ok(())
    }

    /// Counts bytes, though a limit may be exceeded: for what cannot be refused any more.
    pub fn charge(&self, bytes: usize) {
        let mut held = self.held();
        held.own.0.charge(bytes);
        held.all.0.charge(bytes);
    }

    /// Gives bytes back.
    pub fn release(&self, bytes: usize) {
        let mut held = self.held();
        held.own.0.shrink(bytes);
        held.all.0.shrink(bytes);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use bytesize::ByteSize;

    use super::*;

    fn admission(limits: Limits) -> Admission<u32> {
        Admission::new(&limits)
    }

    fn used(admission: &Admission<u32>, name: &str) -> (u64, u64) {
        let usage = admission.usage().into_iter().find(|usage| usage.name == name).unwrap();
        (usage.used, usage.refused)
    }

    #[test]
    fn one_principal_at_its_limit_leaves_the_others_alone() {
        let admission = admission(Limits { requests: 3, requests_per_principal: 2, ..Limits::default() });
        let first = [admission.admit(&1, false).unwrap(), admission.admit(&1, false).unwrap()];
        assert_eq!(admission.admit(&1, false).err(), Some(LimitReached::RequestsPerPrincipal(2)));
        let _other = admission.admit(&2, false).unwrap();
        assert_eq!(admission.admit(&2, false).err(), Some(LimitReached::Requests(3)));
        assert_eq!(used(&admission, "requests"), (3, 1));
        assert_eq!(used(&admission, "requests_per_principal"), (2, 1));
        drop(first);
        assert!(admission.admit(&2, false).is_ok());
    }

    #[test]
    fn two_principals_that_take_what_they_may_leave_room_for_others() {
        let admission = admission(Limits { requests: 64, requests_per_principal: 32, ..Limits::default() });
        let mut held = Vec::new();
        for principal in [1, 2] {
            while let Ok(allowance) = admission.admit(&principal, false) {
                held.push(allowance);
            }
        }
        // The first one has its limit, and the second one stops at its share of the rest: 32 and 17.
        assert_eq!(held.len(), 49);
        assert_eq!(admission.admit(&2, false).err(), Some(LimitReached::Share(16)));
        let other = admission.admit(&3, false);
        assert!(other.is_ok());
        for principal in 3..100 {
            while let Ok(allowance) = admission.admit(&principal, false) {
                held.push(allowance);
            }
        }
        assert_eq!(admission.admit(&100, false).err(), Some(LimitReached::Requests(64)));
        assert!(admission.admit(&100, true).is_ok());
    }

    #[test]
    fn memory_is_reserved_up_to_its_limits() {
        let (all, own) = (10 << 20, 8 << 20);
        let admission = admission(Limits {
            memory: ByteSize::mib(10),
            memory_per_principal: ByteSize::mib(8),
            ..Limits::default()
        });
        let first = admission.admit(&1, false).unwrap();
        first.reserve(own - 10).unwrap();
        assert_eq!(admission.check_room(&1, 10), Ok(()));
        assert_eq!(admission.check_room(&1, 11), Err(LimitReached::MemoryPerPrincipal(own)));
        assert_eq!(admission.check_room(&2, all - own + 11), Err(LimitReached::Memory(all)));
        first.reserve(10).unwrap();
        assert_eq!(first.reserve(1), Err(LimitReached::MemoryPerPrincipal(own)));
        assert_eq!(admission.admit(&1, false).err(), Some(LimitReached::MemoryPerPrincipal(own)));
        let second = admission.admit(&2, false).unwrap();
        assert_eq!(second.reserve(4 << 20), Err(LimitReached::Memory(all)));
        second.charge(4 << 20);
        assert_eq!(admission.admit(&3, false).err(), Some(LimitReached::Memory(all)));
        second.release(4 << 20);
        assert!(admission.admit(&3, false).is_ok());
        drop((first, second));
        assert_eq!(used(&admission, "memory").0, 0);
        assert_eq!(used(&admission, "memory_per_principal").0, 0);
    }

    #[test]
    fn a_rate_is_kept_by_each_principal() {
        let admission = admission(Limits { requests_per_second: NonZeroU32::new(5), ..Limits::default() });
        let refused = (0..10).filter(|_| admission.admit(&1, false).is_err()).count();
        assert!((4..=5).contains(&refused), "{refused} were refused");
        let Err(LimitReached::RequestsPerSecond(5, wait)) = admission.admit(&1, false) else { panic!() };
        assert!(wait <= std::time::Duration::from_secs(1));
        assert!(admission.admit(&2, false).is_ok());
        let (used, told) = used(&admission, "requests_per_second");
        assert!((4..=5).contains(&used), "{used} are used");
        assert_eq!(told, u64::try_from(refused).unwrap() + 1);
    }

    #[test]
    fn principals_without_requests_are_forgotten() {
        let admission = admission(Limits::default());
        let busy = admission.admit(&0, false).unwrap();
        for principal in 1..10_000 {
            admission.admit(&principal, false).unwrap();
        }
        assert!(admission.principals().known.len() <= FEW + 1);
        assert!(admission.principals().known.contains_key(&0));
        drop(busy);
    }
}

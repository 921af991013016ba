//! Who may do what: all roles and bindings, and the decisions that follow from them.
//!
//! A right on a secret is given by a binding that allows it, unless another binding denies it. What no binding allows is denied.
//! Bindings count for the principal or a group of it, for the rights of their role, in their scope, until they expire. A decision
//! on a secret looks only at bindings of the caller that are about it, and at few of these, however many others there are.
//!
//! The catalog holds the policy, and puts every change of the store into it. The access epoch is part of it: each change of who may
//! do what writes that record again, so that a commit which requires the epoch as it was finds the policy as it was.

mod bindings;
mod decision;
mod names;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::bindings::{Bound, PrincipalBindings};
pub use self::decision::{Covered, Decision};
use super::binding::{Binding, BindingId, Effect};
use super::epoch::AccessEpoch;
use super::principal::PrincipalName;
use super::right::Rights;
use super::role::{Role, RoleName};
use crate::domain::{Minute, Timestamp};

/// All roles and bindings.
pub struct Policy {
    /// The roles that people made.
    roles: BTreeMap<RoleName, Arc<Role>>,
    bindings: HashMap<BindingId, Arc<Binding>>,
    /// The bindings in the order of their creation.
    order: BTreeSet<(Timestamp, BindingId)>,
    by_principal: HashMap<PrincipalName, PrincipalBindings>,
    by_role: HashMap<RoleName, HashSet<BindingId>>,
    /// When bindings were last used, as far as the store knows.
    last_used: HashMap<BindingId, Minute>,
    epoch: Option<AccessEpoch>,
    /// Whether the store has an epoch that cannot be opened.
    epoch_is_damaged: bool,
    /// Another number after every change, in any policy of this process.
    generation: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            roles: BTreeMap::new(),
            bindings: HashMap::new(),
            order: BTreeSet::new(),
            by_principal: HashMap::new(),
            by_role: HashMap::new(),
            last_used: HashMap::new(),
            epoch: None,
            epoch_is_damaged: false,
            generation: next_generation(),
        }
    }
}

fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Policy {
    /// The access epoch; `None` where the store has none, since a release without bindings wrote it.
    pub fn epoch(&self) -> Option<AccessEpoch> {
        self.epoch
    }

    /// Notes the access epoch.
    pub fn set_epoch(&mut self, epoch: Option<AccessEpoch>) {
        self.epoch = epoch;
        self.epoch_is_damaged = false;
        self.touch();
    }

    /// Notes that the access epoch was altered. Commits require the epoch as it was, so that none is made.
    pub fn distrust_epoch(&mut self) {
        self.epoch_is_damaged = true;
        self.touch();
    }

    /// Whether a release without bindings wrote the store, so that its keys have yet to get the bindings that they imply.
    pub fn is_of_earlier_release(&self) -> bool {
        self.epoch.is_none() && !self.epoch_is_damaged
    }

    /// The role of this name that a person made.
    pub fn role(&self, name: &RoleName) -> Option<&Arc<Role>> {
        self.roles.get(name)
    }

    /// The roles that people made, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values()
    }

    /// The rights of a role, built in or not; `None` where there is no such role.
    pub fn rights_of(&self, role: &RoleName) -> Option<Rights> {
        match role.built_in() {
            Some(built_in) => Some(built_in.rights()),
            None => self.roles.get(role).map(|role| role.rights),
        }
    }

    /// Whether a binding has this role.
    pub fn is_in_use(&self, role: &RoleName) -> bool {
        self.by_role.contains_key(role)
    }

    /// The binding with this id.
    pub fn binding(&self, id: BindingId) -> Option<&Arc<Binding>> {
        self.bindings.get(&id)
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether there is no binding.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// The bindings in the order of their creation: behind this one, or all.
    pub fn bindings_after(
        &self,
        after: Option<(Timestamp, BindingId)>,
    ) -> impl Iterator<Item = &Arc<Binding>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.order.range((from, Unbounded)).filter_map(|(_, id)| self.bindings.get(id))
    }

    /// The bindings of this principal itself, without those of its groups, in no order.
    pub fn bindings_of<'a>(
        &'a self,
        principal: &PrincipalName,
    ) -> impl Iterator<Item = &'a Arc<Binding>> + use<'a> {
        self.by_principal
            .get(principal)
            .into_iter()
            .flat_map(PrincipalBindings::iter)
            .map(|bound| &bound.binding)
    }

    /// Puts a binding, in place of an earlier state of it.
    pub fn put_binding(&mut self, binding: Binding) {
        self.remove_binding(binding.id);
        let binding = Arc::new(binding);
        self.order.insert((binding.created_at, binding.id));
        self.by_role.entry(binding.role.clone()).or_default().insert(binding.id);
        self.bindings.insert(binding.id, binding.clone());
        self.bind(binding);
        self.touch();
    }

    /// Notes when a binding was last used, as the store says. Nobody gains or loses a right by it.
    pub fn set_last_used(&mut self, id: BindingId, at: Minute) {
        self.last_used.insert(id, at);
    }

    /// Forgets when a binding was last used.
    pub fn forget_last_used(&mut self, id: BindingId) {
        self.last_used.remove(&id);
    }

    /// When a binding was last used, as far as the store knows.
    pub fn last_used(&self, id: BindingId) -> Option<Minute> {
        self.last_used.get(&id).copied()
    }

    /// How many bindings were ever used, as far as the store knows.
    pub fn used(&self) -> usize {
        self.last_used.len()
    }

    /// The bindings that were used later than the store knows, and when. Looks at every binding.
    pub fn unstored_uses(&self) -> impl Iterator<Item = (BindingId, Minute)> {
        let bound = self.by_principal.values().flat_map(PrincipalBindings::iter);
        let used = bound.filter_map(|bound| Some((bound.binding.id, bound.last_used()?)));
        used.filter(|(id, at)| self.last_used(*id).is_none_or(|stored| stored < *at))
    }

    /// Removes a binding.
    pub fn remove_binding(&mut self, id: BindingId) {
        let Some(binding) = self.bindings.remove(&id) else { return };
        self.order.remove(&(binding.created_at, id));
        if let Some(bindings) = self.by_role.get_mut(&binding.role) {
            bindings.remove(&id);
            if bindings.is_empty() {
                self.by_role.remove(&binding.role);
            }
        }
        self.unbind(&binding);
        self.touch();
    }

    /// Stops serving a binding whose record was altered. One that denies goes on to deny, so that nobody gets a right by the
    /// alteration.
    pub fn distrust_binding(&mut self, id: BindingId) {
        if self.bindings.get(&id).is_some_and(|binding| binding.effect == Effect::Allow) {
            self.remove_binding(id);
        }
    }

    /// Puts a role.
    pub fn put_role(&mut self, role: Role) {
        let name = role.name.clone();
        self.roles.insert(name.clone(), Arc::new(role));
        self.bind_again(&name);
    }

    /// Removes a role. Bindings that still have it give nothing, and deny everything.
    pub fn remove_role(&mut self, name: &RoleName) {
        self.roles.remove(name);
        self.bind_again(name);
    }

    /// Takes the rights of a role into the bindings that have it.
    fn bind_again(&mut self, role: &RoleName) {
        let ids = self.by_role.get(role).into_iter().flatten();
        let bindings: Vec<_> = ids.filter_map(|id| self.bindings.get(id).cloned()).collect();
        for binding in bindings {
            self.unbind(&binding);
            self.bind(binding);
        }
        self.touch();
    }

    fn bind(&mut self, binding: Arc<Binding>) {
        let rights = self.rights_of(&binding.role).unwrap_or(match binding.effect {
            Effect::Allow => Rights::NONE,
            Effect::Deny => Rights::ALL,
        });
        let of_principal = self.by_principal.entry(binding.principal.clone()).or_default();
        of_principal.insert(Bound::new(binding, rights));
    }

    fn unbind(&mut self, binding: &Binding) {
        if let Some(of_principal) = self.by_principal.get_mut(&binding.principal) {
            of_principal.remove(binding);
            if of_principal.is_empty() {
                self.by_principal.remove(&binding.principal);
            }
        }
    }

    fn touch(&mut self) {
        self.generation = next_generation();
    }
}

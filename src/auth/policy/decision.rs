//! Decisions: whether a principal has a right on an object, by which binding, and for how long.

use std::marker::PhantomData;
use std::sync::Arc;

use super::Policy;
use super::bindings::{Bound, PrincipalBindings};
use super::names::precedence;
use crate::auth::binding::{Binding, BindingId, Effect};
use crate::auth::grant::{
    Denied, Grant, Granted, Granting, NamespaceGrant, NotConfirmed, Object, OnNamespace, OnScope, OnSecret,
    OnService, ScopeGrant, ServiceGrant, Somewhere, SomewhereGrant,
};
use crate::auth::pattern::{NameFilter, Scope};
use crate::auth::principal::{Principal, PrincipalName};
use crate::auth::right::{Right, RightType, Rights};
use crate::domain::{Namespace, SecretName, Timestamp};

/// A decision, and the binding that decided.
#[derive(Debug, Clone)]
pub enum Decision {
    /// The binding gives the right.
    Allowed(Arc<Binding>),
    /// The binding denies the right.
    Denied(Arc<Binding>),
    /// No binding gives the right.
    Missing,
}

/// The binding that gives a right on the whole of a scope.
#[derive(Debug, Clone)]
pub struct Covered(pub Arc<Binding>);

/// Whose bindings count: those of a principal and of its groups.
#[derive(Clone, Copy)]
struct Who<'a> {
    name: &'a PrincipalName,
    groups: &'a [PrincipalName],
}

impl<'a> From<&'a Principal> for Who<'a> {
    fn from(principal: &'a Principal) -> Self {
        Self { name: principal.name(), groups: principal.groups() }
    }
}

/// Of all bindings that were looked at: one that denies, and the one that allows the longest.
#[derive(Default)]
struct Verdict<'a> {
    allow: Option<&'a Bound>,
    deny: Option<&'a Bound>,
}

impl<'a> Verdict<'a> {
    fn of(bindings: impl Iterator<Item = &'a Bound>) -> Self {
        let mut verdict = Self::default();
        for bound in bindings {
            let place = match bound.binding.effect {
                Effect::Allow => &mut verdict.allow,
                Effect::Deny => &mut verdict.deny,
            };
            let earlier = |before: &&Bound| precedence(&before.binding, &bound.binding).is_le();
            *place = place.filter(earlier).or(Some(bound));
        }
        verdict
    }

    /// Notes the use of the binding that decided.
    fn used(self, now: Timestamp) -> Self {
        if let Some(bound) = self.deny.or(self.allow) {
            bound.note_use(now);
        }
        self
    }

    /// Until when the right is given; `Ok(None)`: the binding does not expire. The binding that denies it, where one does.
    fn until(&self) -> Result<Option<Timestamp>, Option<BindingId>> {
        match (self.deny, self.allow) {
            (Some(deny), _) => Err(Some(deny.binding.id)),
            (None, Some(allow)) => Ok(allow.binding.expires_at),
            (None, None) => Err(None),
        }
    }
}

impl Policy {
    /// Proof that a principal has a right on a secret.
    pub fn grant<R: RightType>(
        &self,
        principal: &Principal,
        namespace: &Namespace,
        name: &SecretName,
        now: Timestamp,
    ) -> Result<Grant<R>, Denied> {
        let object = OnSecret { namespace: namespace.clone(), name: name.clone() };
        let until = self.on_secret(principal.into(), R::RIGHT, namespace, name, now).used(now).until();
        let until = until.map_err(|by| Denied { right: R::RIGHT, object: object.object(), by })?;
        Ok(Grant { granted: self.granting(principal, R::RIGHT, object, until), right: PhantomData })
    }

    /// Proof that a principal has a right on secrets of a namespace: which ones, its filter says.
    pub fn grant_namespace<R: RightType>(
        &self,
        principal: &Principal,
        namespace: &Namespace,
        now: Timestamp,
    ) -> Result<NamespaceGrant<R>, Denied> {
        let (names, until) = self.names(principal.into(), R::RIGHT, namespace, now)?;
        let object = OnNamespace { namespace: namespace.clone(), names };
        Ok(NamespaceGrant { granted: self.granting(principal, R::RIGHT, object, until), right: PhantomData })
    }

    /// Proof that a principal has a right on the service as a whole.
    pub fn grant_service<R: RightType>(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<ServiceGrant<R>, Denied> {
        let until = self.on_service(principal.into(), R::RIGHT, now).used(now).until();
        let until = until.map_err(|by| Denied { right: R::RIGHT, object: Object::Service, by })?;
        Ok(ServiceGrant { granted: self.granting(principal, R::RIGHT, OnService, until), right: PhantomData })
    }

    /// Proof that a principal has a right on the whole of a scope.
    pub fn grant_scope<R: RightType>(
        &self,
        principal: &Principal,
        scope: Scope,
        now: Timestamp,
    ) -> Result<ScopeGrant<R>, Denied> {
        let until = self.on_scope(principal.into(), R::RIGHT, &scope, now).used(now).until();
        let until =
            until.map_err(|by| Denied { right: R::RIGHT, object: Object::Scope(scope.clone()), by })?;
        let granted = self.granting(principal, R::RIGHT, OnScope(scope), until);
        Ok(ScopeGrant { granted, right: PhantomData })
    }

    /// Proof that a principal has a right on something.
    pub fn grant_somewhere<R: RightType>(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<SomewhereGrant<R>, Denied> {
        let until = self.somewhere(principal.into(), R::RIGHT, now)?;
        Ok(SomewhereGrant {
            granted: self.granting(principal, R::RIGHT, Somewhere, until),
            right: PhantomData,
        })
    }

    fn granting<O>(
        &self,
        principal: &Principal,
        right: Right,
        object: O,
        until: Option<Timestamp>,
    ) -> Arc<Granting<O>> {
        let (principal, generation) = (principal.clone(), self.generation);
        Arc::new(Granting { principal, right, object, generation, until })
    }

    /// Whether a binding that expires denies a principal something, whether it has expired or not.
    pub fn denies_for_a_time(&self, principal: &Principal) -> bool {
        let mut bindings = self.of(principal.into()).flat_map(PrincipalBindings::iter);
        bindings.any(|bound| bound.binding.effect == Effect::Deny && bound.binding.expires_at.is_some())
    }

    /// Whether a principal still has what it was granted, and until when. Costs nothing where the policy is the same.
    pub fn confirm(&self, granted: &Granted, now: Timestamp) -> Result<Option<Timestamp>, NotConfirmed> {
        let (generation, until) = granted.made();
        if generation == self.generation && until.is_none_or(|until| now < until) {
            return Ok(until);
        }
        let (who, right) = (Who::from(granted.principal()), granted.right());
        let denied = |by| NotConfirmed::Denied(Denied { right, object: granted.object(), by });
        match granted {
            Granted::Secret(granting) => {
                let OnSecret { namespace, name } = &granting.object;
                self.on_secret(who, right, namespace, name, now).until().map_err(denied)
            }
            Granted::Namespace(granting) => {
                let OnNamespace { namespace, names } = &granting.object;
                let (present, until) = self.names(who, right, namespace, now)?;
                if present.is_every() || present == *names { Ok(until) } else { Err(NotConfirmed::Changed) }
            }
            Granted::Service(_) => self.on_service(who, right, now).until().map_err(denied),
            Granted::Scope(granting) => {
                let Covered(by) = self.covers(granted.principal(), right, &granting.object.0, now)?;
                Ok(by.expires_at)
            }
            Granted::Somewhere(_) => Ok(self.somewhere(who, right, now)?),
        }
    }

    /// The decision on a right on a secret, or, without a name, on some secret of the namespace; without a namespace, on the service
    /// as a whole.
    pub fn decide(
        &self,
        name: &PrincipalName,
        groups: &[PrincipalName],
        right: Right,
        object: Option<(&Namespace, Option<&SecretName>)>,
        now: Timestamp,
    ) -> Decision {
        let who = Who { name, groups };
        let verdict = match object {
            _ if right.is_of_service() => self.on_service(who, right, now),
            None => self.on_service(who, right, now),
            Some((namespace, Some(name))) => self.on_secret(who, right, namespace, name, now),
            Some((namespace, None)) => {
                let verdict = Verdict::of(self.at(who, right, namespace, now));
                // A binding that denies some names leaves the others.
                Verdict { deny: verdict_deny(self.at(who, right, namespace, now)), ..verdict }
            }
        };
        match (verdict.deny, verdict.allow) {
            (Some(deny), _) => Decision::Denied(deny.binding.clone()),
            (None, Some(allow)) => Decision::Allowed(allow.binding.clone()),
            (None, None) => Decision::Missing,
        }
    }

    /// The rights that a principal has in a namespace, on some secrets at least, and on the service as a whole.
    pub fn rights_in(&self, principal: &Principal, namespace: &Namespace, now: Timestamp) -> Rights {
        let has = |right: &Right| {
            let decision =
                self.decide(principal.name(), principal.groups(), *right, Some((namespace, None)), now);
            matches!(decision, Decision::Allowed(_))
        };
        Right::ALL.into_iter().filter(has).collect()
    }

    /// The binding that gives a principal a right on the whole of a scope: of several, the one that lasts the longest. A binding
    /// that denies the right on any part of the scope takes the whole.
    pub fn covers(
        &self,
        principal: &Principal,
        right: Right,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<Covered, Denied> {
        let verdict = self.on_scope(principal.into(), right, scope, now);
        match (verdict.deny, verdict.allow) {
            (None, Some(allow)) => Ok(Covered(allow.binding.clone())),
            (deny, _) => {
                let by = deny.map(|deny| deny.binding.id);
                Err(Denied { right, object: Object::Scope(scope.clone()), by })
            }
        }
    }

    fn on_secret<'a>(
        &'a self,
        who: Who<'a>,
        right: Right,
        namespace: &'a Namespace,
        name: &'a SecretName,
        now: Timestamp,
    ) -> Verdict<'a> {
        let patterns = self.of(who).flat_map(move |of_principal| of_principal.on(namespace, name));
        Verdict::of(patterns.flat_map(move |of_pattern| of_pattern.first(counts(right, now))))
    }

    /// On the whole of a scope: a binding that denies the right on any part of it takes the whole.
    fn on_scope<'a>(&'a self, who: Who<'a>, right: Right, scope: &'a Scope, now: Timestamp) -> Verdict<'a> {
        let counts = |bound: &&Bound| match bound.binding.effect {
            Effect::Allow => bound.binding.scope.covers(scope),
            Effect::Deny => bound.binding.scope.overlaps(scope),
        };
        let of_principal = self.of(who).flat_map(PrincipalBindings::iter);
        Verdict::of(in_force(of_principal, right, now).filter(counts))
    }

    fn on_service<'a>(&'a self, who: Who<'a>, right: Right, now: Timestamp) -> Verdict<'a> {
        let everywhere = self.of(who).flat_map(PrincipalBindings::everywhere);
        Verdict::of(in_force(everywhere, right, now).filter(|bound| bound.binding.scope.is_everything()))
    }

    /// The names on which a principal has a right in a namespace, and until when these are the names.
    fn names(
        &self,
        who: Who<'_>,
        right: Right,
        namespace: &Namespace,
        now: Timestamp,
    ) -> Result<(NameFilter, Option<Timestamp>), Denied> {
        let (mut allow, mut deny, mut until, mut by) = (Vec::new(), Vec::new(), None, None);
        for bound in self.at(who, right, namespace, now) {
            bound.note_use(now);
            let binding = &bound.binding;
            let names = &binding.scope.names;
            match binding.effect {
                Effect::Allow => {
                    // Of equal patterns, the one that lasts the longest counts.
                    allow.push((names.clone(), binding.expires_at));
                }
                Effect::Deny => {
                    by = by.or(names.is_every().then_some(binding.id));
                    deny.push(names.clone());
                }
            }
        }
        if allow.is_empty() || by.is_some() {
            return Err(Denied { right, object: Object::Namespace(namespace.clone()), by });
        }
        let every_until = allow.iter().filter(|(names, _)| names.is_every()).map(|(_, until)| *until);
        let every_until = every_until.reduce(|one, other| one.zip(other).map(|(one, other)| one.max(other)));
        match every_until {
            Some(every) => until = every,
            None => {
                for (_, expires_at) in &allow {
                    until = match (until, *expires_at) {
                        (Some(one), Some(other)) => Some(other.min(one)),
                        (one, other) => one.or(other),
                    };
                }
            }
        }
        Ok((NameFilter::new(allow.into_iter().map(|(names, _)| names).collect(), deny), until))
    }

    /// Until when a principal has a right on some scope, whatever else is denied.
    fn somewhere(&self, who: Who<'_>, right: Right, now: Timestamp) -> Result<Option<Timestamp>, Denied> {
        let of_principal = || in_force(self.of(who).flat_map(PrincipalBindings::iter), right, now);
        let denies = |scope: &Scope| {
            let deny =
                |bound: &Bound| bound.binding.effect == Effect::Deny && bound.binding.scope.covers(scope);
            of_principal().any(deny)
        };
        let given = |bound: &&Bound| bound.binding.effect == Effect::Allow && !denies(&bound.binding.scope);
        let until = Verdict::of(of_principal().filter(given)).used(now).until();
        until.map_err(|by| Denied { right, object: Object::Somewhere, by })
    }

    /// The bindings that count for a right in a namespace, whatever names they are about.
    fn at<'a>(
        &'a self,
        who: Who<'a>,
        right: Right,
        namespace: &'a Namespace,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Bound> {
        in_force(self.of(who).flat_map(move |of_principal| of_principal.at(namespace)), right, now)
    }

    fn of<'a>(&'a self, who: Who<'a>) -> impl Iterator<Item = &'a PrincipalBindings> {
        std::iter::once(who.name).chain(who.groups).filter_map(|name| self.by_principal.get(name))
    }
}

/// The binding that denies every name, if there is one.
fn verdict_deny<'a>(bindings: impl Iterator<Item = &'a Bound>) -> Option<&'a Bound> {
    Verdict::of(bindings.filter(|bound| bound.binding.scope.names.is_every())).deny
}

/// The bindings that count at `now` for a right.
fn in_force<'a>(
    bindings: impl Iterator<Item = &'a Bound>,
    right: Right,
    now: Timestamp,
) -> impl Iterator<Item = &'a Bound> {
    let counts = counts(right, now);
    bindings.filter(move |bound| counts(bound))
}

/// Whether a binding counts at `now` for a right.
fn counts(right: Right, now: Timestamp) -> impl Fn(&Bound) -> bool {
    move |bound| bound.rights.contains(right) && bound.binding.in_force(now)
}

//! Create, list and delete bindings.
//!
//! Who creates a binding manages access on the whole of its scope. Nobody gives what they do not have: to give rights, or to delete a
//! binding that denies them, one has all of them on the whole scope, and for as long.

use std::sync::Arc;

use super::administrators::{AccessChange, makes_administrator, refuse_last_administrator};
use super::page::Place;
use super::{AccessControl, AccessPage};
use crate::app::authority::Authority;
use crate::app::commit::REQUEST_ATTEMPTS;
use crate::app::idempotency::{Earlier, KnownRequest, Outcome};
use crate::app::{Error, Idempotency, IdempotencyRecords};
use crate::auth::{
    Binding, BindingId, Covered, Denied, Effect, ManageAccess, ManagerGrant, Object, Policy, Principal,
    PrincipalName, Right, RightType, Rights, RoleName, Scope, ScopeGrant,
};
use crate::domain::{Description, Namespace, Revision, Timestamp, now};
use crate::store::{Expect, Key, Transaction};

/// A binding to create. Its grant has the scope.
pub struct NewBinding {
    /// Whom it is for.
    pub principal: PrincipalName,
    /// The role whose rights it gives or denies.
    pub role: RoleName,
    /// Whether it gives them.
    pub effect: Effect,
    /// When it expires; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// What it is for.
    pub description: Description,
}

/// Which bindings a list shows. All conditions must hold.
#[derive(Default)]
pub struct BindingQuery {
    /// Those of this principal.
    pub principal: Option<PrincipalName>,
    /// Those of this role.
    pub role: Option<RoleName>,
    /// Those whose namespace pattern has this namespace.
    pub namespace: Option<Namespace>,
    /// How many there are on a page, at most.
    pub limit: usize,
    /// The token of the page; empty for the first one.
    pub page_token: String,
}

impl AccessControl {
    /// Creates a binding.
    pub async fn create_binding(
        &self,
        grant: &ScopeGrant<ManageAccess>,
        new: NewBinding,
        idempotency: Option<&Idempotency>,
    ) -> Result<(Binding, Revision), Error> {
        let created = self.attempt_to_create_binding(grant, new, idempotency).await;
        IdempotencyRecords::or_earlier(
            created,
            |_| false,
            async || Ok(self.find_created_binding(grant.principal(), idempotency).await?.answer()),
        )
        .await
    }

    /// The binding that the same request created before.
    async fn find_created_binding(
        &self,
        principal: &Principal,
        idempotency: Option<&Idempotency>,
    ) -> Result<Earlier<(Binding, Revision)>, Error> {
        let Some(idempotency) = idempotency else { return Ok(Earlier::New(None)) };
        match self.idempotency.find_binding(principal, idempotency).await? {
            KnownRequest::Answered(Outcome::Bound(binding), revision) => {
                Ok(Earlier::Answered((binding, revision)))
            }
            KnownRequest::Answered(
                Outcome::Changed(..) | Outcome::Unchanged(_) | Outcome::Deleted(..),
                _,
            ) => Err(Error::Integrity),
            KnownRequest::New(pending) => Ok(Earlier::New(Some(pending))),
        }
    }

    async fn attempt_to_create_binding(
        &self,
        grant: &ScopeGrant<ManageAccess>,
        new: NewBinding,
        idempotency: Option<&Idempotency>,
    ) -> Result<(Binding, Revision), Error> {
        let (principal, granted) = (grant.principal(), [grant.granted()]);
        let _turn = self.turn(principal).await;
        let id = BindingId::generate()?;
        let mut attempts = self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(principal, &granted));
        loop {
            let attempt = attempts.next()?;
            let pending = match self.find_created_binding(principal, idempotency).await? {
                Earlier::Answered(answer) => return Ok(answer),
                Earlier::New(pending) => pending,
            };
            self.core.refuse_spent(attempt.keyring.since())?;
            let binding = Binding {
                id,
                principal: new.principal.clone(),
                role: new.role.clone(),
                scope: grant.scope().clone(),
                effect: new.effect,
                created_at: now(),
                expires_at: new.expires_at,
                description: new.description.clone(),
                revision: Revision::default(),
            };
            self.refuse_unknown_key(&binding.principal)?;
            self.core.catalog.with_policy(|policy| {
                let rights = rights_of(policy, &binding.role)?;
                refuse_without_effect(rights, &binding.scope)?;
                match binding.effect {
                    Effect::Allow => {
                        refuse_to_exceed(policy, principal, rights, &binding.scope, binding.expires_at)
                    }
                    Effect::Deny => Ok(()),
                }
            })?;
            if binding.effect == Effect::Deny {
                refuse_last_administrator(
                    &self.core,
                    AccessChange { with: Some(&binding), ..Default::default() },
                )?;
            }
            let mut transaction = Transaction::default();
            transaction.require.push((Key::binding(&id.0), Expect::Absent));
            transaction.put.push((Key::binding(&id.0), binding.seal(&attempt.keyring)?));
            attempt.change_access(&mut transaction)?;
            let outcome = Outcome::Bound(binding);
            if let Some(pending) = &pending {
                pending.put(&mut transaction, &attempt.keyring, &outcome)?;
            }
            if let Some(revision) = attempt.commit(transaction).await? {
                if pending.is_some() {
                    self.idempotency.count(principal);
                }
                return match outcome {
                    Outcome::Bound(binding) => Ok((Binding { revision, ..binding }, revision)),
                    Outcome::Changed(..) | Outcome::Unchanged(_) | Outcome::Deleted(..) => {
                        Err(Error::Integrity)
                    }
                };
            }
        }
    }

    /// Deletes a binding, and returns it.
    pub async fn delete_binding(
        &self,
        grant: &ManagerGrant,
        id: BindingId,
    ) -> Result<(Arc<Binding>, Revision), Error> {
        let (principal, granted) = (grant.principal(), [grant.granted()]);
        let _turn = self.turn(principal).await;
        let mut attempts = self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(principal, &granted));
        loop {
            let attempt = attempts.next()?;
            let (binding, administrates) = self.core.catalog.with_policy(|policy| {
                let binding = policy.binding(id).filter(|binding| manages(policy, principal, &binding.scope));
                let binding = binding.ok_or(Error::BindingNotFound(id))?.clone();
                if binding.effect == Effect::Deny && binding.in_force(now()) {
                    // A role that is gone denied everything.
                    let rights = policy.rights_of(&binding.role).unwrap_or(Rights::ALL);
                    refuse_to_exceed(policy, principal, rights, &binding.scope, binding.expires_at)?;
                }
                let administrates = makes_administrator(policy, &binding);
                Ok::<_, Error>((binding, administrates))
            })?;
            if administrates {
                let change = AccessChange { without: Some(id), ..Default::default() };
                refuse_last_administrator(&self.core, change)?;
            }
            let mut transaction = Transaction::default();
            transaction.require.push((Key::binding(&id.0), Expect::At(binding.revision)));
            transaction.delete.push(Key::binding(&id.0));
            attempt.change_access(&mut transaction)?;
            if let Some(revision) = attempt.commit(transaction).await? {
                return Ok((binding, revision));
            }
        }
    }

    /// A page of the bindings that the caller manages, oldest first.
    pub fn list_bindings(
        &self,
        grant: &ManagerGrant,
        query: &BindingQuery,
    ) -> Result<AccessPage<Arc<Binding>>, Error> {
        let text = |part: Option<String>| part.unwrap_or_default();
        let of = text(query.principal.as_ref().map(ToString::to_string));
        let role = text(query.role.as_ref().map(ToString::to_string));
        let namespace = text(query.namespace.as_ref().map(ToString::to_string));
        let caller = grant.principal().name().to_string();
        let parts = ["bindings", &caller, &of, &role, &namespace].map(str::as_bytes);
        let mac = self.core.keyring().query_mac(&parts);
        let after = self.open_page(&mac, &query.page_token)?;

        // The revision is read first: the bindings may be newer than it, and never older.
        let revision = self.core.catalog.revision();
        let (items, next) = self.core.catalog.with_policy(|policy| {
            let all = manages(policy, grant.principal(), &Scope::everything());
            let shown = |binding: &&Arc<Binding>| {
                query.principal.as_ref().is_none_or(|principal| binding.principal == *principal)
                    && query.role.as_ref().is_none_or(|role| binding.role == *role)
                    && query.namespace.as_ref().is_none_or(|one| binding.scope.namespaces.matches(one))
                    && (all || manages(policy, grant.principal(), &binding.scope))
            };
            let place = |binding: &Arc<Binding>| -> Place { (binding.created_at, binding.id.0) };
            let size = |binding: &Arc<Binding>| {
                512 + binding.principal.to_string().len() + binding.description.as_str().len()
            };
            let after_id = after.map(|(at, id)| (at, BindingId(id)));
            match &query.principal {
                Some(principal) => {
                    let mut own: Vec<_> = policy.bindings_of(principal).cloned().collect();
                    own.sort_unstable_by_key(place);
                    let behind = own.into_iter().filter(|one| after.is_none_or(|after| place(one) > after));
                    self.page(&mac, behind.filter(|one| shown(&one)), query.limit, place, size)
                }
                None => {
                    let behind = policy.bindings_after(after_id).filter(shown).cloned();
                    self.page(&mac, behind, query.limit, place, size)
                }
            }
        })?;
        Ok(AccessPage { items, next, revision })
    }

    /// Fails where the principal is a key that is not there, or was revoked.
    fn refuse_unknown_key(&self, principal: &PrincipalName) -> Result<(), Error> {
        match principal {
            PrincipalName::ApiKey(id) => match self.core.catalog.api_key(*id) {
                Some(key) if key.revoked_at.is_none() => Ok(()),
                Some(_) | None => Err(Error::ApiKeyNotFound(*id)),
            },
            PrincipalName::Certificate(_) | PrincipalName::Token(_) | PrincipalName::Group(_) => Ok(()),
        }
    }
}

/// Whether a principal manages access on the whole of a scope.
pub(super) fn manages(policy: &Policy, principal: &Principal, scope: &Scope) -> bool {
    policy.covers(principal, ManageAccess::RIGHT, scope, now()).is_ok()
}

/// The rights of a role.
pub(super) fn rights_of(policy: &Policy, role: &RoleName) -> Result<Rights, Error> {
    policy.rights_of(role).ok_or_else(|| Error::RoleNotFound(role.clone()))
}

/// Fails where a binding would do nothing: all rights of its role are on the service as a whole, and its scope is a part of that.
pub(super) fn refuse_without_effect(rights: Rights, scope: &Scope) -> Result<(), Error> {
    const REASON: &str =
        "has only rights on the service as a whole: bind it to '**' and to all names, with CreateBinding";
    if !scope.is_everything() && rights.iter().all(Right::is_of_service) {
        return Err(Error::invalid("role", REASON));
    }
    Ok(())
}

/// Fails unless a principal has all of these rights on the whole of a scope, until that time at least.
pub(super) fn refuse_to_exceed(
    policy: &Policy,
    principal: &Principal,
    rights: Rights,
    scope: &Scope,
    until: Option<Timestamp>,
) -> Result<(), Error> {
    for right in rights.iter() {
        // A right on the service is nothing on a part of it.
        if right.is_of_service() && !scope.is_everything() {
            continue;
        }
        let Covered(by) = policy.covers(principal, right, scope, now())?;
        refuse_to_outlast(&by, right, scope, until)?;
    }
    Ok(())
}

/// Fails where a right would last longer than the binding that gives it to the one who passes it on.
fn refuse_to_outlast(
    by: &Binding,
    right: Right,
    scope: &Scope,
    until: Option<Timestamp>,
) -> Result<(), Error> {
    match (by.expires_at, until) {
        (None, _) => Ok(()),
        (Some(own), Some(until)) if until <= own => Ok(()),
        (Some(_), _) => Err(Error::Denied(Denied { right, object: Object::Longer(scope.clone()), by: None })),
    }
}

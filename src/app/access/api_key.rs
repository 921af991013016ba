//! Create, list, rotate and revoke API keys.
//!
//! A key belongs to its home namespace: who manages access there manages the key. But nobody gets rights by it that they do not have:
//! see [`AccessControl::rotate_api_key`].

use std::sync::Arc;
use std::time::Duration;

use super::administrators::{AccessChange, makes_administrator, refuse_last_administrator};
use super::binding::{manages, refuse_to_exceed, refuse_without_effect, rights_of};
use super::page::Place;
use super::{AccessControl, AccessPage};
use crate::app::Error;
use crate::app::authority::Authority;
use crate::app::commit::REQUEST_ATTEMPTS;
use crate::auth::{
    ApiKey, ApiKeyId, Binding, BindingId, Credential, Effect, KeyName, ManageAccess, ManagerGrant, Policy,
    Principal, PrincipalName, Right, Rights, RoleName, Scope, ScopeGrant,
};
use crate::domain::{Description, Minute, Namespace, Revision, Timestamp, now};
use crate::store::{Expect, Key, Transaction};

/// How long a key that was revoked or has expired stays in lists.
const LISTED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many bindings of a key are deleted when it is revoked, at most: a transaction is bounded. Those that are left give nobody
/// anything.
const MOST_DELETED: usize = 50;

/// An API key to create.
pub struct NewApiKey {
    /// Its name.
    pub name: KeyName,
    /// Its home namespace.
    pub home: Namespace,
    /// The role that it gets on its home; `None`: it gets none.
    pub role: Option<RoleName>,
    /// When it expires.
    pub expiry: Expiry,
}

/// When a key expires.
pub enum Expiry {
    /// Never.
    Never,
    /// At a time, which must be in the future.
    At(Timestamp),
    /// That long after it was created.
    After(Duration),
}

/// On whose authority a key is rotated.
pub enum Rotation<'a> {
    /// The key rotates itself.
    Own(&'a Principal),
    /// Somebody who manages access rotates it.
    Managed(&'a ManagerGrant),
}

impl Rotation<'_> {
    fn principal(&self) -> &Principal {
        match self {
            Self::Own(principal) => principal,
            Self::Managed(grant) => grant.principal(),
        }
    }
}

impl AccessControl {
    /// Creates an API key, and the binding of its role on its home, in one step. The credential is returned only here, and stored
    /// nowhere. The grant is on the whole of the home.
    pub async fn create_api_key(
        &self,
        grant: &ScopeGrant<ManageAccess>,
        new: NewApiKey,
    ) -> Result<(ApiKey, Credential, Revision), Error> {
        let scope = Scope::of_namespace(new.home.clone());
        if *grant.scope() != scope {
            return Err(Error::Internal("a key is created by who manages its home"));
        }
        let at = now();
        let expires_at = match new.expiry {
            Expiry::Never => None,
            Expiry::At(then) => Some(then),
            Expiry::After(ttl) => Some(at.plus(ttl)),
        };
        let (credential, binding_id) = (Credential::generate()?, BindingId::generate()?);
        let (principal, granted) = (grant.principal(), [grant.granted()]);
        let mut attempts = self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(principal, &granted));
        loop {
            let attempt = attempts.next()?;
            self.core.refuse_spent(attempt.keyring.since())?;
            let (name, home) = (new.name.clone(), new.home.clone());
            let key = ApiKey::new(&attempt.keyring, &credential, name, home, false, at, expires_at);
            let place = Key::api_key(&key.id.0);
            let mut transaction = Transaction::default();
            transaction.require.push((place.clone(), Expect::Absent));
            transaction.put.push((place, key.seal(&attempt.keyring)?));
            if let Some(role) = &new.role {
                self.core.catalog.with_policy(|policy| {
                    let rights = rights_of(policy, role)?;
                    refuse_without_effect(rights, &scope)?;
                    refuse_to_exceed(policy, principal, rights, &scope, expires_at)
                })?;
                let binding = Binding {
                    id: binding_id,
                    principal: PrincipalName::ApiKey(key.id),
                    role: role.clone(),
                    scope: scope.clone(),
                    effect: Effect::Allow,
                    created_at: at,
                    expires_at: None,
                    description: Description::default(),
                    revision: Revision::default(),
                };
                transaction.require.push((Key::binding(&binding_id.0), Expect::Absent));
                transaction.put.push((Key::binding(&binding_id.0), binding.seal(&attempt.keyring)?));
                // A binding of a new key takes nothing from anybody. But a role that people made can be deleted, if no binding has it.
                if role.built_in().is_none() {
                    attempt.change_access(&mut transaction)?;
                }
            }
            if let Some(revision) = attempt.commit(transaction).await? {
                return Ok((key, credential, revision));
            }
        }
    }

    /// A page of the API keys that the caller manages, oldest first. Those that were revoked or have expired leave the list 30 days
    /// after that.
    pub fn list_api_keys(
        &self,
        grant: &ManagerGrant,
        limit: usize,
        page_token: &str,
    ) -> Result<AccessPage<Arc<ApiKey>>, Error> {
        let caller = grant.principal().name().to_string();
        let mac = self.core.keyring().query_mac(&[b"keys", caller.as_bytes()]);
        let after = self.open_page(&mac, page_token)?;
        // The revision is read first: the keys may be newer than it, and never older.
        let revision = self.core.catalog.revision();
        let keys = self.core.catalog.api_keys();
        let (items, next) = self.core.catalog.with_policy(|policy| {
            let now = now();
            let all = manages(policy, grant.principal(), &Scope::everything());
            let place = |key: &Arc<ApiKey>| -> Place { (key.created_at, key.id.0) };
            let shown = |key: &Arc<ApiKey>| {
                let ended = [key.revoked_at, key.expires_at].into_iter().flatten().min();
                ended.is_none_or(|ended| now < ended.plus(LISTED))
                    && after.is_none_or(|after| place(key) > after)
                    && (all || manages(policy, grant.principal(), &Scope::of_namespace(key.home.clone())))
            };
            let size = |key: &Arc<ApiKey>| 256 + key.name.as_str().len() + key.home.as_str().len();
            self.page(&mac, keys.into_iter().filter(shown), limit, place, size)
        })?;
        Ok(AccessPage { items, next, revision })
    }

    /// Gives a key another credential. The present one works for the overlap. The key keeps its id and its bindings.
    ///
    /// A key may rotate itself. Somebody else gets a credential that has the rights of the key by this, and so must manage its home and
    /// have every right that its bindings give. Fails with [`Error::ApiKeyNotFound`] where the key was revoked or has expired.
    pub async fn rotate_api_key(
        &self,
        by: &Rotation<'_>,
        id: ApiKeyId,
        overlap: Duration,
    ) -> Result<(ApiKey, Credential, Revision), Error> {
        let credential = Credential::generate_for(id)?;
        let principal = by.principal();
        let granted = match by {
            Rotation::Own(_) => None,
            Rotation::Managed(grant) => Some(grant.granted()),
        };
        let mut attempts =
            self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(principal, granted.as_slice()));
        loop {
            let attempt = attempts.next()?;
            self.core.refuse_spent(attempt.keyring.since())?;
            let (key, at) = (self.managed_key(by, id)?, now());
            key.in_force(at).map_err(|_| Error::ApiKeyNotFound(id))?;
            if let Rotation::Managed(_) = by {
                self.core.catalog.with_policy(|policy| {
                    for binding in given_to(policy, id, at) {
                        let rights = policy.rights_of(&binding.role).unwrap_or_default();
                        let until = earlier(binding.expires_at, key.expires_at);
                        refuse_to_exceed(policy, principal, rights, &binding.scope, until)?;
                    }
                    Ok::<_, Error>(())
                })?;
            }
            let rotated = key.rotated(&attempt.keyring, &credential, at, overlap);
            let place = Key::api_key(&id.0);
            let mut transaction = Transaction::default();
            transaction.require.push((place.clone(), Expect::At(key.revision)));
            transaction.put.push((place, rotated.seal(&attempt.keyring)?));
            if let Some(revision) = attempt.commit(transaction).await? {
                return Ok((rotated, credential, revision));
            }
        }
    }

    /// Revokes an API key, at once and for good, and deletes its bindings. A revoked key stays as it is.
    ///
    /// The caller must manage the home of the key and the scopes of all bindings that give it rights.
    pub async fn revoke_api_key(
        &self,
        grant: &ManagerGrant,
        id: ApiKeyId,
    ) -> Result<(Arc<ApiKey>, Revision), Error> {
        let (principal, granted) = (grant.principal(), [grant.granted()]);
        let _turn = self.turn(principal).await;
        let mut attempts = self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(principal, &granted));
        loop {
            // The keyring seals a revocation even where it has sealed as much as it may.
            let attempt = attempts.next()?;
            let key = self.managed_key(&Rotation::Managed(grant), id)?;
            if key.revoked_at.is_some() {
                return Ok((key, self.core.catalog.revision()));
            }
            let at = now();
            let (administrates, bindings) = self.core.catalog.with_policy(|policy| {
                let manage = Rights::of(&[Right::ManageAccess]);
                for binding in given_to(policy, id, at) {
                    refuse_to_exceed(policy, principal, manage, &binding.scope, Some(at))?;
                }
                let own = || policy.bindings_of(&PrincipalName::ApiKey(id));
                let administrates = own().any(|binding| makes_administrator(policy, binding));
                Ok::<_, Error>((administrates, own().take(MOST_DELETED).cloned().collect::<Vec<_>>()))
            })?;
            if administrates {
                refuse_last_administrator(
                    &self.core,
                    AccessChange { revokes: Some(id), ..Default::default() },
                )?;
            }
            let revoked = key.revoked(at);
            let place = Key::api_key(&id.0);
            let mut transaction = Transaction::default();
            transaction.require.push((place.clone(), Expect::At(key.revision)));
            transaction.put.push((place, revoked.seal(&attempt.keyring)?));
            // The access epoch, which the commit requires, says that the bindings are as they were.
            let records =
                |binding: &Arc<Binding>| [Key::binding(&binding.id.0), Key::binding_usage(&binding.id.0)];
            transaction.delete.extend(bindings.iter().flat_map(records));
            attempt.change_access(&mut transaction)?;
            if let Some(revision) = attempt.commit(transaction).await? {
                return Ok((Arc::new(revoked), revision));
            }
        }
    }

    /// When an API key was last used, to the minute, as far as the store knows.
    pub fn last_used(&self, id: ApiKeyId) -> Option<Timestamp> {
        self.core.catalog.key_last_used(id).map(Minute::start)
    }

    /// When a binding was last used, to the minute, as far as the store knows.
    pub fn binding_last_used(&self, id: BindingId) -> Option<Timestamp> {
        self.core.catalog.with_policy(|policy| policy.last_used(id)).map(Minute::start)
    }

    /// The key with this id. One whose home the caller does not manage is not found.
    fn managed_key(&self, by: &Rotation<'_>, id: ApiKeyId) -> Result<Arc<ApiKey>, Error> {
        let key = self.core.catalog.api_key(id).ok_or(Error::ApiKeyNotFound(id))?;
        match by {
            Rotation::Own(principal) if *principal.name() == PrincipalName::ApiKey(id) => Ok(key),
            Rotation::Own(_) => Err(Error::Internal("a key rotates itself only")),
            Rotation::Managed(grant) => {
                let home = Scope::of_namespace(key.home.clone());
                let managed =
                    self.core.catalog.with_policy(|policy| manages(policy, grant.principal(), &home));
                if managed { Ok(key) } else { Err(Error::ApiKeyNotFound(id)) }
            }
        }
    }
}

/// The bindings in force that give a key rights.
fn given_to(policy: &Policy, id: ApiKeyId, now: Timestamp) -> Vec<Arc<Binding>> {
    let own = policy.bindings_of(&PrincipalName::ApiKey(id));
    own.filter(|binding| binding.effect == Effect::Allow && binding.in_force(now)).cloned().collect()
}

/// The earlier of two times, of which `None` is never.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

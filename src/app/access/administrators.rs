//! The administrators: principals that have every right on everything. One must be left after every change.

use crate::app::Error;
use crate::app::commit::Core;
use crate::auth::{ApiKeyId, Binding, BindingId, Effect, Policy, PrincipalName, Rights};
use crate::domain::{Timestamp, now};

/// A change that can take the rights of an administrator away.
#[derive(Default, Clone, Copy)]
pub(super) struct AccessChange<'a> {
    /// A binding that is deleted.
    pub(super) without: Option<BindingId>,
    /// A binding that is created.
    pub(super) with: Option<&'a Binding>,
    /// A key that is revoked.
    pub(super) revokes: Option<ApiKeyId>,
}

/// How many administrators there are.
#[derive(Default, Clone, Copy)]
struct Administrators {
    now: usize,
    /// Those whose rights do not end by themselves.
    for_good: usize,
}

/// Fails where a change would leave no administrator, or only some whose rights end by themselves while there is one whose rights do
/// not.
pub(super) fn refuse_last_administrator(core: &Core, change: AccessChange<'_>) -> Result<(), Error> {
    let (before, after) = (administrators(core, AccessChange::default()), administrators(core, change));
    let none_left = before.now > 0 && after.now == 0;
    let none_stays = before.for_good > 0 && after.for_good == 0;
    if none_left || none_stays { Err(Error::LastAdministrator) } else { Ok(()) }
}

/// Whether a binding gives every right on everything.
pub(super) fn makes_administrator(policy: &Policy, binding: &Binding) -> bool {
    binding.effect == Effect::Allow
        && binding.scope.is_everything()
        && policy.rights_of(&binding.role) == Some(Rights::ALL)
}

/// The administrators after a change.
fn administrators(core: &Core, change: AccessChange<'_>) -> Administrators {
    let now = now();
    let bound = core.catalog.with_policy(|policy| {
        let stays = |binding: &Binding| change.without != Some(binding.id) && binding.in_force(now);
        let denied = |principal: &PrincipalName| {
            let denies =
                |binding: &Binding| binding.effect == Effect::Deny && binding.principal == *principal;
            change.with.is_some_and(denies)
                || policy.bindings_of(principal).any(|binding| stays(binding) && denies(binding))
        };
        let administrates = |binding: &&std::sync::Arc<Binding>| {
            stays(binding) && makes_administrator(policy, binding) && !denied(&binding.principal)
        };
        policy.bindings_after(None).filter(administrates).cloned().collect::<Vec<_>>()
    });
    let mut found = Administrators::default();
    for binding in bound {
        let Some(expires_at) = key_expiry(core, &binding.principal, change.revokes, now) else { continue };
        found.now += 1;
        found.for_good += usize::from(expires_at.is_none() && binding.expires_at.is_none());
    }
    found
}

/// When the key of a principal expires. `None`: it is not in force. No other principal's credential is known to expire.
fn key_expiry(
    core: &Core,
    principal: &PrincipalName,
    revokes: Option<ApiKeyId>,
    now: Timestamp,
) -> Option<Option<Timestamp>> {
    match principal {
        PrincipalName::ApiKey(id) if revokes == Some(*id) => None,
        PrincipalName::ApiKey(id) => {
            let key = core.catalog.api_key(*id)?;
            key.in_force(now).ok().map(|()| key.expires_at)
        }
        PrincipalName::Certificate(_) | PrincipalName::Token(_) | PrincipalName::Group(_) => Some(None),
    }
}

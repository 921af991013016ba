//! The bindings that a store of an earlier release implies. Releases before bindings gave the root key every right, and every other key
//! the rights on the secrets of its home. Each key that is not revoked gets a binding that says the same.
//!
//! A store that has the access epoch has its bindings. The epoch is written last, so that a migration that was cut short begins again.

use std::sync::Arc;

use crate::app::Error;
use crate::app::authority::Authority;
use crate::app::commit::{Core, REKEY_ATTEMPTS};
use crate::auth::{AccessEpoch, ApiKey, Binding};
use crate::crypto::{self, Keyring};
use crate::store::{Expect, Key, Transaction};

/// How many bindings one commit puts, at most.
const BATCH: usize = 100;

/// The sealed records of the bindings that these keys imply, and of the first access epoch.
pub(in crate::app) fn implied_access<'a>(
    keyring: &Keyring,
    keys: impl Iterator<Item = &'a ApiKey>,
) -> Result<Vec<(Key, Vec<u8>)>, crypto::Error> {
    let mut records = Vec::new();
    for key in keys.filter(|key| key.revoked_at.is_none()) {
        let binding = Binding::implied_by(keyring, key, key.created_at);
        records.push((Key::binding(&binding.id.0), binding.seal(keyring)?));
    }
    records.push((Key::access_epoch(), AccessEpoch::default().next().seal(keyring)?));
    Ok(records)
}

/// Gives every key the binding that it implies, unless the store has its bindings. Other replicas may do the same at the same time.
pub(in crate::app) async fn migrate(core: &Core) -> Result<(), Error> {
    let mut attempts = core.attempts(REKEY_ATTEMPTS, Authority::Service);
    loop {
        let attempt = attempts.next()?;
        let keys = core.catalog.api_keys();
        let missing = core.catalog.with_policy(|policy| {
            if !policy.is_of_earlier_release() {
                return None;
            }
            let implied = |key: &Arc<ApiKey>| Binding::implied_by(&attempt.keyring, key, key.created_at);
            let is_there = |binding: &Binding| policy.binding(binding.id).is_some();
            let are_there = keys.iter().map(implied).filter(is_there).count();
            if policy.len() > are_there || policy.roles().next().is_some() {
                // The epoch was removed from a store that has its bindings, which is served all the same.
                return None;
            }
            let in_force = keys.iter().filter(|key| key.revoked_at.is_none()).map(implied);
            Some(in_force.filter(|binding| !is_there(binding)).collect::<Vec<_>>())
        });
        let Some(missing) = missing else { return Ok(()) };
        let mut transaction = Transaction::default();
        transaction.require.push((Key::access_epoch(), Expect::Absent));
        for binding in missing.iter().take(BATCH) {
            let place = Key::binding(&binding.id.0);
            transaction.require.push((place.clone(), Expect::Absent));
            transaction.put.push((place, binding.seal(&attempt.keyring)?));
        }
        if missing.len() <= BATCH {
            let epoch = AccessEpoch::default().next().seal(&attempt.keyring)?;
            transaction.put.push((Key::access_epoch(), epoch));
        }
        if attempt.commit(transaction).await?.is_some() {
            attempts = core.attempts(REKEY_ATTEMPTS, Authority::Service);
        }
    }
}

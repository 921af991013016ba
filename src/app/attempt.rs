use std::sync::Arc;

use super::idempotency::Outcome;
use super::version::StoredVersion;
use super::{App, Error, Idempotency};
use crate::auth::Principal;
use crate::catalog::NamespaceCatalog;
use crate::domain::{Namespace, Revision, SecretName};
use crate::store::Transaction;

/// How often a change is tried anew when the secret changed meanwhile. Writers in this process take turns, so only
/// writers through other replicas cause it.
const ATTEMPTS: usize = 16;

impl App {
    /// Makes one change of one secret: plans it from the present state, commits it on the condition that the state is
    /// still that, and plans anew where it is not. Returns the outcome with its revision, and whether it came to be
    /// now (true) or is that of an earlier request with the same id (false).
    pub(super) async fn change(
        &self,
        principal: &Principal,
        place: (&Namespace, &SecretName),
        request: Option<&Idempotency>,
        plan: impl Fn(Option<&Arc<NamespaceCatalog>>) -> Result<(Transaction, Outcome), Error>,
    ) -> Result<((Outcome, Revision), bool), Error> {
        self.change_stored(principal, place, None, request, |there, _| plan(there)).await
    }

    /// The same, for a plan that has to know what is stored of the secret's version of that number.
    pub(super) async fn change_stored(
        &self,
        principal: &Principal,
        (namespace, name): (&Namespace, &SecretName),
        number: Option<u32>,
        request: Option<&Idempotency>,
        plan: impl Fn(Option<&Arc<NamespaceCatalog>>, &StoredVersion) -> Result<(Transaction, Outcome), Error>,
    ) -> Result<((Outcome, Revision), bool), Error> {
        let _turn = self.turns.of(namespace, name).await;
        self.refuse_damage(namespace, name).await?;
        for _ in 0..ATTEMPTS {
            // Before anything that the plan is made from.
            let planned_at = self.catalog.revision();
            let keyring = self.keyring();
            let slot = match request {
                Some(request) => match self.first_outcome(principal, namespace, request).await? {
                    Ok(first) => return Ok((first, false)),
                    Err(slot) => Some(slot),
                },
                None => None,
            };
            let stored = match number {
                Some(number) => self.stored_version(namespace, name, number).await?,
                None => StoredVersion::default(),
            };
            let there = self.catalog.namespace(namespace);
            self.refuse_spent(keyring.since())?;
            there.as_ref().map_or(Ok(()), |there| self.refuse_spent(there.keys().since()))?;
            let (mut transaction, outcome) = plan(there.as_ref(), &stored)?;
            if let (Outcome::Unchanged(secret), None) = (&outcome, &slot) {
                let revision = planned_at.max(secret.revision);
                return Ok(((outcome, revision), true));
            }
            if let Some(slot) = &slot {
                self.put_idempotency_record(&mut transaction, slot, &outcome)?;
            }
            if let Some(revision) = self.commit(&keyring, transaction).await? {
                return Ok(((outcome, revision), true));
            }
            // Refused for a state that the catalog does not show, although it shows all there is: records contradict
            // each other.
            if self.catalog.revision() == planned_at {
                return Err(Error::Integrity);
            }
        }
        Err(Error::Contended)
    }
}

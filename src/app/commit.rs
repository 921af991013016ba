//! The one way to change the store, and the loop around it.
//!
//! [`Core`] is what every part of the app works on: the store, the catalog that follows it, and the master key. A change is
//! planned from the state that the catalog shows, and committed on the condition that this state still holds. Where it does
//! not hold any more, the change is planned again from the newer state:
//!
//! ```text
//! let mut attempts = core.attempts(REQUEST_ATTEMPTS, Authority::Caller(principal, granted));
//! loop {
//!     let attempt = attempts.next()?;
//!     let transaction = …; // planned with attempt.keyring from what the catalog and the store show now
//!     if let Some(revision) = attempt.commit(transaction).await? {
//!         return Ok(revision);
//!     }
//! }
//! ```
//!
//! A commit that a caller asks for also requires that the caller's credential and the access epoch are as they were at the beginning
//! of the attempt: see [`Authority`]. A commit returns only when the catalog shows it, so a caller that reads its change back finds it.

use std::sync::Arc;

use super::authority::{Authority, ConfirmedCaller};
use super::clock_agreement::ClockAgreement;
use super::deadline::deadline;
use super::freshness::{AheadPlaces, Freshness};
use super::outbox::{Outbox, RequestRecord, step};
use super::usage::UsageNotes;
use super::{CredentialProblem, CredentialSources, Error, SealLimits};
use crate::auth::PrincipalName;
use crate::catalog::Catalog;
use crate::crypto::MasterKeyProvider;
use crate::domain::{Clock, Revision};
use crate::integrity::StoredKeyring;
use crate::limits::FairQueue;
use crate::store::{CommitError, Key, Store, Transaction};

/// How often a change that a caller asks for is planned, at most. Writers of one secret in this process wait for each other,
/// so only writers in other replicas make it more than once.
pub(super) const REQUEST_ATTEMPTS: usize = 16;
/// How many changes that callers ask for are committed at a time, at most: more than one sync of the disk takes. The principals
/// of all others wait for their turns.
pub(super) const TURNS: usize = 256;
/// How often a step of a rekey is tried, at most.
pub(super) const REKEY_ATTEMPTS: usize = 100;

/// The store, the catalog over it, and the master key: what all parts of the app share.
pub(super) struct Core {
    pub(super) store: Arc<dyn Store>,
    pub(super) catalog: Arc<Catalog>,
    /// How new the catalog is.
    pub(super) freshness: Freshness,
    /// The places of requests that wait for a later revision.
    pub(super) ahead: AheadPlaces,
    pub(super) master_key: Arc<MasterKeyProvider>,
    pub(super) seal_limits: SealLimits,
    /// The audit records of changes; `None` where the app runs without an audit log.
    pub(super) outbox: Option<Outbox>,
    /// The turns of the changes that callers ask for.
    pub(super) turns: Arc<FairQueue<PrincipalName>>,
    /// Where credentials come from that the store does not have.
    pub(super) sources: Arc<CredentialSources>,
    /// The uses of secrets and API keys that are to be stored.
    pub(super) usage: UsageNotes,
    /// The clock by which secrets change, expire and are due.
    pub(super) clock: Clock,
    /// How that clock compares with those of other servers over the store.
    pub(super) clocks: ClockAgreement,
}

/// The attempts at one change.
pub(super) struct Attempts<'a> {
    core: &'a Core,
    authority: Authority<'a>,
    left: usize,
}

/// One attempt at a change.
pub(super) struct Attempt<'a> {
    core: &'a Core,
    /// The keyring to plan with. The commit requires that it is still the store's keyring.
    pub(super) keyring: Arc<StoredKeyring>,
    /// The revision that the catalog showed at the beginning. What the plan reads is at least as new.
    pub(super) planned_at: Revision,
    authority: Authority<'a>,
    /// The caller who asks for the change; `None` where the service makes it by itself.
    caller: Option<ConfirmedCaller>,
}

impl<'a> Attempts<'a> {
    /// Begins the next attempt. Fails where the caller's key is not in force any more, and with [`Error::Contended`] where there
    /// were enough attempts: other writers were faster in each.
    pub(super) fn next(&mut self) -> Result<Attempt<'a>, Error> {
        self.left = self.left.checked_sub(1).ok_or(Error::Contended)?;
        // The revision is read first: what is planned may be newer than it, and never older.
        let planned_at = self.core.catalog.revision();
        let caller = self.authority.confirm(self.core)?;
        let (core, authority, keyring) = (self.core, self.authority, self.core.keyring());
        Ok(Attempt { core, keyring, planned_at, authority, caller })
    }
}

impl Attempt<'_> {
    /// Adds the next access epoch to a transaction that changes who may do what. Every commit that a caller asks for requires the
    /// present one.
    pub(super) fn change_access(&self, transaction: &mut Transaction) -> Result<(), Error> {
        let caller = self.caller.as_ref().ok_or(Error::Internal("access is changed for a caller only"))?;
        let next = caller.epoch.unwrap_or_default().next();
        transaction.put.push((Key::access_epoch(), next.seal(&self.keyring)?));
        Ok(())
    }

    /// Commits a transaction for which everything was read during this attempt. `Ok(None)`: something that it requires has
    /// changed since, and the change is to be planned again.
    ///
    /// Fails where the clock of this server can be wrong. Fails with [`Error::Integrity`] where the store refuses the transaction
    /// for a state that it does not show: then its records contradict each other.
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<Option<Revision>, Error> {
        self.commit_with(transaction, None).await
    }

    /// The same for a change that the service makes by itself, with a copy of its audit record beside it, as the change of a request
    /// has one.
    pub(super) async fn commit_recorded(
        &self,
        transaction: Transaction,
        record: &dyn RequestRecord,
    ) -> Result<Option<Revision>, Error> {
        self.commit_with(transaction, Some(record)).await
    }

    async fn commit_with(
        &self,
        mut transaction: Transaction,
        record: Option<&dyn RequestRecord>,
    ) -> Result<Option<Revision>, Error> {
        self.core.confirm_clock().await?; // the plan has times of it
        let mut copy = None;
        if let Some(outbox) = &self.core.outbox {
            let id = match (record, &self.caller) {
                (Some(record), _) => Some(outbox.put_copy(record, &mut transaction, &self.keyring)?),
                (None, Some(_)) => outbox.put(&mut transaction, &self.keyring)?,
                (None, None) => None,
            };
            copy = id.map(|id| (outbox, id));
        }
        let step = step("commit");
        let _turn = match &self.caller {
            Some(caller) => {
                caller.require(&mut transaction);
                self.core.turns.turn(&caller.name).await.ok()
            }
            None => None,
        };
        let committed = self.core.commit(&self.keyring, transaction).await;
        drop(step);
        if let Some((outbox, id)) = copy
            && matches!(committed, Ok(None) | Err(Error::TooLate | Error::Internal(_) | Error::Integrity))
        {
            outbox.not_made(id);
        }
        let committed = match committed {
            Err(Error::TooLate) if self.caller.as_ref().is_some_and(ConfirmedCaller::is_expired) => {
                return Err(Error::Unauthenticated(CredentialProblem::Expired));
            }
            Err(Error::TooLate) => {
                // What the caller was granted may have expired.
                self.authority.confirm(self.core)?;
                return Err(Error::TooLate);
            }
            committed => committed?,
        };
        // After a refusal, the catalog shows everything up to it. If nothing is new, every plan would be refused.
        if committed.is_none() && self.core.catalog.revision() == self.planned_at {
            return Err(Error::Integrity);
        }
        Ok(committed)
    }
}

impl Core {
    /// The turns of changes, none of which is taken. How many of one principal wait is limited by its requests.
    pub(super) fn turns() -> Arc<FairQueue<PrincipalName>> {
        FairQueue::new(TURNS, usize::MAX)
    }

    /// The keyring. A transaction with records that it has sealed must be committed with this same keyring.
    pub(super) fn keyring(&self) -> Arc<StoredKeyring> {
        self.catalog.keyring()
    }

    /// The attempts at one change, `limit` at most.
    pub(super) fn attempts<'a>(&'a self, limit: usize, authority: Authority<'a>) -> Attempts<'a> {
        Attempts { core: self, authority, left: limit }
    }

    /// Commits a transaction, and waits until the catalog shows it. `Ok(None)`: something that it requires did not hold, and
    /// the catalog now shows the state in which it did not hold.
    ///
    /// `keyring` is the keyring from before the transaction was planned, and is required to be unchanged: if a restore has
    /// replaced the store since then, the plan would mix two states.
    pub(super) async fn commit(
        &self,
        keyring: &Arc<StoredKeyring>,
        mut transaction: Transaction,
    ) -> Result<Option<Revision>, Error> {
        transaction.require.push(keyring.unchanged());
        let planned_from = self.catalog.digest();
        transaction.digester = Some(self.catalog.digester(keyring));
        transaction.limit_deadline(deadline());
        let (revision, committed) = match self.store.commit(transaction).await {
            Ok(revision) => (revision, true),
            Err(CommitError::Conflict(revision)) => (revision, false),
            Err(CommitError::TooLarge) => {
                return Err(Error::Internal("a record is larger than the store takes"));
            }
            Err(CommitError::TooLate) => return Err(Error::TooLate),
            Err(CommitError::NoDigest) => {
                // In etcd, this can be the digest of a store that has replaced the one of this keyring.
                let newest = self.store.revision().await?;
                self.catalog.at_least(newest).await?;
                // Or the one of another branch, which an earlier release has not written into it.
                let replaced = !Arc::ptr_eq(keyring, &self.keyring());
                let moved_on = self.catalog.digest().commits > planned_from.commits;
                return if replaced || moved_on { Ok(None) } else { Err(Error::Integrity) };
            }
            Err(CommitError::Unavailable(why)) => return Err(why.into()),
        };
        self.catalog.at_least(revision).await?;
        Ok(committed.then_some(revision))
    }

    /// Waits until the catalog shows the revision of a record that was read from the store. Fails with [`Error::Integrity`]
    /// where the store has not reached that revision: then this service did not write the record.
    pub(super) async fn wait_visible(&self, revision: Revision) -> Result<(), Error> {
        if revision > self.catalog.revision() && revision > self.store.revision().await? {
            return Err(Error::Integrity);
        }
        Ok(self.catalog.at_least(revision).await?)
    }
}

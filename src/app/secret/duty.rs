//! What the service does about a secret by itself: it tells of an expiry, retires versions, rotates, and removes for good.
//!
//! Each of these is one commit that requires that the secret is as it was when it was planned, and leaves it in a state in which the
//! same is not due any more. So it is done once, by one replica of several, before or after a crash. The commit has a copy of its audit
//! record beside it. The scheduler calls this.

use uuid::Uuid;

use super::plan::{PlannedChange, SecretPlan};
use super::{SecretOperations, ValueSource};
use crate::app::authority::Authority;
use crate::app::commit::REQUEST_ATTEMPTS;
use crate::app::{Error, RequestRecord};
use crate::audit::{Line, Names, Record, Referenced, Target};
use crate::domain::{
    Duty, EventType, ExpiryTold, Generator, Rotation, RotationStep, Secret, SecretId, Timestamp, new_id, now,
};
use crate::limits::Reservation;
use crate::schema::NamespaceId;
use crate::store::Transaction;

/// The principal of these changes in the audit log.
const SERVICE: &str = "service";

/// The audit record of something that the service did by itself.
pub(in crate::app) struct DutyRecord {
    id: Uuid,
    pub(in crate::app) record: Record,
    /// How its copy in the store shows names.
    names: Names,
}

impl DutyRecord {
    /// `rpc` says what was done, in the way of the names of RPCs.
    fn new(rpc: &'static str, secret: &Secret, version: Option<u32>, subject: Option<String>) -> Self {
        let id = new_id();
        let (namespace, name) = (Some(secret.namespace.clone()), Some(secret.name.clone()));
        let record = Record {
            principal: Some(SERVICE.to_owned()),
            peer: None,
            rpc,
            target: Target { namespace, name, version, subject, ..Target::default() },
            referenced: Referenced::default(),
            outcome: "ok",
            reason: None,
            request_id: id.to_string(),
            caller_request_id: None,
            trace_id: None,
        };
        Self { id, record, names: Names::default() }
    }
}

impl RequestRecord for DutyRecord {
    fn id(&self) -> [u8; 16] {
        self.id.into_bytes()
    }

    fn line(&self) -> Vec<u8> {
        Line::of(&self.record, &self.names, now()).to_text()
    }
}

/// A change that is to be committed.
struct Planned {
    transaction: Transaction,
    record: DutyRecord,
    /// How many versions of the secret are removed then; `None` where this is the whole change.
    removed: Option<usize>,
    /// The room of the change in the quotas, until the commit has ended.
    reservation: Reservation,
}

impl Planned {
    fn whole(transaction: Transaction, record: DutyRecord) -> Self {
        Self { transaction, record, removed: None, reservation: Reservation::none() }
    }

    fn of(change: PlannedChange, record: DutyRecord) -> Self {
        Self { reservation: change.reservation, ..Self::whole(change.transaction, record) }
    }
}

impl SecretOperations {
    /// Does what is due about a secret. Returns the audit record of that; `None` where nothing is due any more. `names` says how the
    /// copy of the record shows names.
    pub(in crate::app) async fn attend(
        &self,
        namespace: NamespaceId,
        id: SecretId,
        names: &Names,
    ) -> Result<Option<DutyRecord>, Error> {
        let retention = self.core.catalog.retention();
        let mut attempts = self.core.attempts(REQUEST_ATTEMPTS, Authority::Service);
        let mut removed = 0;
        loop {
            let attempt = attempts.next()?;
            let catalog = self.core.catalog.namespace_of(namespace);
            let secret = catalog.as_ref().and_then(|catalog| catalog.secret_of(id));
            let (Some(catalog), Some(secret)) = (catalog, secret) else { return Ok(None) };
            let now = self.core.clock.now();
            let Some(duty) = secret.duty(now, retention) else { return Ok(None) };
            self.core.refuse_spent(attempt.keyring.since())?;
            self.core.refuse_spent(catalog.keys().since())?;
            let plan = || SecretPlan::in_namespace(&attempt.keyring, &catalog, now);
            let planned = match duty {
                Duty::Purge => purge(plan(), &secret, removed)?,
                Duty::TellExpiry => tell_expiry(plan(), &secret, now)?,
                Duty::RetireVersions => retire_versions(plan(), &secret, now)?,
                Duty::Rotate => rotate(plan, &secret, now)?,
            };
            let Some(planned) = planned else { return Ok(None) };
            let Planned { transaction, record, removed: step, reservation: _reservation } = planned;
            let record = DutyRecord { names: names.clone(), ..record };
            if let Some(step) = step {
                if attempt.commit(transaction).await?.is_some() {
                    removed = step;
                }
            } else if attempt.commit_recorded(transaction, &record).await?.is_some() {
                return Ok(Some(record));
            }
        }
    }
}

fn purge(plan: SecretPlan<'_>, secret: &Secret, removed: usize) -> Result<Option<Planned>, Error> {
    let record = DutyRecord::new("scheduler/PurgeSecret", secret, None, Some(secret.id.to_string()));
    let (transaction, removed) = plan.purge(secret, removed)?;
    Ok(Some(Planned { removed, ..Planned::whole(transaction, record) }))
}

fn tell_expiry<'a>(
    mut plan: SecretPlan<'a>,
    secret: &'a Secret,
    now: Timestamp,
) -> Result<Option<Planned>, Error> {
    let Some(told) = secret.expiry_to_tell(now) else { return Ok(None) };
    let event = match told {
        ExpiryTold::Nothing => return Ok(None),
        ExpiryTold::Expiring => EventType::Expiring,
        ExpiryTold::Expired => EventType::Expired,
    };
    let next = Secret { expiry_told: told, ..plan.unchanged_successor(secret) };
    let subject = if event == EventType::Expired { "expired" } else { "expires soon" };
    let record = DutyRecord::new("scheduler/TellExpiry", secret, None, Some(subject.to_owned()));
    Ok(Some(Planned::whole(plan.put_note(&next, Some(event))?, record)))
}

/// Disables the versions whose grace period has ended. They can be enabled again, and have no grace period then.
fn retire_versions<'a>(
    mut plan: SecretPlan<'a>,
    secret: &'a Secret,
    now: Timestamp,
) -> Result<Option<Planned>, Error> {
    let mut next = plan.successor(secret);
    let retired: Vec<_> = secret.versions.iter().filter(|version| secret.is_retired(version, now)).collect();
    let Some(newest) = retired.last().map(|version| version.number) else { return Ok(None) };
    for version in retired {
        next.versions = next.versions.with_changed(version.retired(next.updated_at));
    }
    let record = DutyRecord::new("scheduler/RetireVersions", secret, Some(newest), None);
    Ok(Some(Planned::of(plan.put(next, EventType::VersionChanged)?, record)))
}

/// Goes on with the rotation: tells that it is due, makes it, or lets it wait for the next window.
fn rotate<'a>(
    plan: impl Fn() -> SecretPlan<'a>,
    secret: &Secret,
    now: Timestamp,
) -> Result<Option<Planned>, Error> {
    let Some(rotation) = secret.rotation.as_deref() else { return Ok(None) };
    let note = |rpc, event, note: &dyn Fn(&mut Rotation)| {
        let (mut plan, mut rotation) = (plan(), rotation.clone());
        note(&mut rotation);
        let next = Secret { rotation: Some(Box::new(rotation)), ..plan.unchanged_successor(secret) };
        let record = DutyRecord::new(rpc, secret, None, None);
        Ok(Some(Planned::whole(plan.put_note(&next, event)?, record)))
    };
    match (rotation.step(now), &rotation.policy.generator) {
        (None, _) => Ok(None),
        (Some(RotationStep::Tell), _) | (Some(RotationStep::Rotate), None) => {
            note("scheduler/TellRotation", Some(EventType::RotationDue), &|rotation| rotation.told(now))
        }
        (Some(RotationStep::Postpone), _) => {
            note("scheduler/PostponeRotation", None, &|rotation| rotation.postponed(now))
        }
        (Some(RotationStep::Rotate), Some(generator)) => match new_version(plan(), secret, generator) {
            Err(Error::Integrity) => Err(Error::Integrity),
            Err(error) => {
                tracing::warn!(secret = %secret.id, %error, "a secret could not be rotated; this is tried again");
                note("scheduler/FailRotation", Some(EventType::RotationFailed), &|rotation| {
                    rotation.failed(now, failure(&error), None);
                })
            }
            planned => planned.map(Some),
        },
    }
}

/// The plan of a rotation that the service makes by itself.
fn new_version<'a>(
    mut plan: SecretPlan<'a>,
    secret: &'a Secret,
    generator: &Generator,
) -> Result<Planned, Error> {
    let source = ValueSource::Generate { generator: generator.clone(), reveal: false };
    let new = source.value()?;
    let mut next = plan.successor(secret);
    next.metadata = new.metadata(&secret.metadata, None)?;
    plan.put_next_version(&mut next, &new.value, None)?;
    let record = DutyRecord::new("scheduler/RotateSecret", secret, Some(next.version), None);
    Ok(Planned::of(plan.put(next, EventType::Rotated)?, record))
}

/// Why the service could not rotate a secret, in words for its owner.
fn failure(error: &Error) -> &'static str {
    match error {
        Error::Internal(why) => why,
        Error::TooManyVersions(..) => {
            "the secret has as many versions as it may, all within their grace periods: shorten the grace period"
        }
        Error::QuotaReached(_) => {
            "the values of the namespace take as many bytes as its quota allows: destroy versions that are not needed, or ask the \
             operator to raise the quota"
        }
        _ => "the service could not make a new version",
    }
}

#[cfg(test)]
impl SecretOperations {
    /// Gives a secret this rotation, as a change of it.
    pub(in crate::app) async fn set_rotation(&self, secret: &Secret, rotation: Rotation) {
        self.revise(secret, |next| next.rotation = Some(Box::new(rotation))).await;
    }

    /// Changes a secret in any way.
    pub(in crate::app) async fn revise(&self, secret: &Secret, revise: impl FnOnce(&mut Secret)) {
        let mut attempts = self.core.attempts(1, Authority::Service);
        let attempt = attempts.next().unwrap();
        let catalog = self.core.catalog.namespace(&secret.namespace).unwrap();
        let current = catalog.secret_of(secret.id).unwrap();
        let mut plan = SecretPlan::in_namespace(&attempt.keyring, &catalog, self.core.clock.now());
        let mut next = plan.successor(&current);
        revise(&mut next);
        let planned = plan.put(next, EventType::Updated).unwrap();
        attempt.commit(planned.transaction).await.unwrap().unwrap();
    }
}

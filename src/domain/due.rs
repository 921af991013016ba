//! When the service has something to do about a secret by itself, and what that is. Pure: the callers give the time.

use std::time::Duration;

use super::{ExpiryTold, Secret, Timestamp, Version, VersionState};

/// How long before its expiry watchers are told that a secret expires.
const TOLD_BEFORE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the service does about a secret by itself. Where several things are due, the first of them is done first: a secret that has
/// expired is not rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// Remove the secret for good.
    Purge,
    /// Tell watchers that the secret expires soon, or that it has expired.
    TellExpiry,
    /// Disable versions whose grace period has ended.
    RetireVersions,
    /// Go on with the rotation.
    Rotate,
}

impl Secret {
    /// When the service removes the secret for good, which is deleted or has expired; `None` where it is neither. `retention` is
    /// how long an expired secret is kept.
    pub fn purge_at(&self, now: Timestamp, retention: Duration) -> Option<Timestamp> {
        match self.deletion {
            Some(deletion) => Some(deletion.purge_at),
            None => self.expires_at.filter(|at| *at <= now).map(|at| at.plus(retention)),
        }
    }

    /// When the service has something to do about the secret; `None`: never, unless it is changed.
    pub fn next_due(&self, retention: Duration) -> Option<Timestamp> {
        self.duties(retention).map(|(at, _)| at).min()
    }

    /// What the service has to do about the secret now.
    pub fn duty(&self, now: Timestamp, retention: Duration) -> Option<Duty> {
        self.duties(retention).filter(|(at, _)| *at <= now).map(|(_, duty)| duty).min()
    }

    /// What watchers are to be told of the expiry now; `None`: nothing, or they know it.
    pub fn expiry_to_tell(&self, now: Timestamp) -> Option<ExpiryTold> {
        let expires_at = self.expires_at?;
        let told = if expires_at <= now {
            ExpiryTold::Expired
        } else if expires_at.minus(TOLD_BEFORE) <= now {
            ExpiryTold::Expiring
        } else {
            ExpiryTold::Nothing
        };
        (told > self.expiry_told).then_some(told)
    }

    /// Whether a version's grace period has ended, so that its value must not be read. The current version has none.
    pub fn is_retired(&self, version: &Version, now: Timestamp) -> bool {
        self.retires_at(version).is_some_and(|at| at <= now)
    }

    fn retires_at(&self, version: &Version) -> Option<Timestamp> {
        version
            .retires_at
            .filter(|_| version.state == VersionState::Enabled && version.number != self.version)
    }

    fn duties(&self, retention: Duration) -> impl Iterator<Item = (Timestamp, Duty)> {
        let live = self.deletion.is_none();
        let expired = self.expiry_told == ExpiryTold::Expired;
        let purge = match self.deletion {
            Some(deletion) => Some(deletion.purge_at),
            None => self.expires_at.filter(|_| expired).map(|at| at.plus(retention)),
        };
        let tell = self.expires_at.filter(|_| live).and_then(|at| match self.expiry_told {
            ExpiryTold::Nothing => Some(at.minus(TOLD_BEFORE)),
            ExpiryTold::Expiring => Some(at),
            ExpiryTold::Expired => None,
        });
        let retire = self.versions.iter().filter_map(|version| self.retires_at(version)).min();
        let rotate = self.rotation.as_ref().and_then(|rotation| rotation.next_due());
        [
            (purge, Duty::Purge),
            (tell, Duty::TellExpiry),
            (retire.filter(|_| live), Duty::RetireVersions),
            (rotate.filter(|_| live && !expired), Duty::Rotate),
        ]
        .into_iter()
        .filter_map(|(at, duty)| at.map(|at| (at, duty)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Deletion, Description, Metadata, Namespace, Revision, SecretId, SecretName, Versions,
    };

    const DAY: i64 = 24 * 60 * 60;
    const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn secret() -> Secret {
        let first = Version { retires_at: Some(at(50)), ..Version::new(1, at(0), None) };
        let (versions, _) = Versions::first(first).with_next(Version::new(2, at(1), None), 2, at(1)).unwrap();
        Secret {
            namespace: Namespace::default_namespace(),
            name: SecretName::parse("a").unwrap(),
            id: SecretId::from_bytes([7; 16]),
            description: Description::default(),
            metadata: Metadata::default(),
            version: 2,
            versions,
            created_at: at(0),
            updated_at: at(1),
            rotated_at: Some(at(1)),
            expires_at: None,
            expiry_told: ExpiryTold::Nothing,
            rotation: None,
            deletion: None,
            revision: Revision(1),
            stored_at: Revision(1),
            last_read: None,
        }
    }

    #[test]
    fn an_expiry_is_told_a_day_before_and_when_it_comes_and_a_purge_follows() {
        let mut secret = Secret { versions: Versions::first(Version::new(2, at(1), None)), ..secret() };
        assert_eq!((secret.next_due(WEEK), secret.purge_at(at(DAY), WEEK)), (None, None));
        secret.expires_at = Some(at(3 * DAY));
        assert_eq!(secret.next_due(WEEK), Some(at(2 * DAY)));
        assert_eq!(
            (secret.duty(at(2 * DAY - 1), WEEK), secret.expiry_to_tell(at(2 * DAY - 1))),
            (None, None)
        );
        assert_eq!(secret.duty(at(2 * DAY), WEEK), Some(Duty::TellExpiry));
        assert_eq!(secret.expiry_to_tell(at(2 * DAY)), Some(ExpiryTold::Expiring));
        assert_eq!(secret.expiry_to_tell(at(4 * DAY)), Some(ExpiryTold::Expired), "the first is left out");
        secret.expiry_told = ExpiryTold::Expiring;
        assert_eq!((secret.next_due(WEEK), secret.expiry_to_tell(at(2 * DAY))), (Some(at(3 * DAY)), None));
        assert!(!secret.is_expired(at(3 * DAY - 1)) && secret.is_expired(at(3 * DAY)));
        secret.expiry_told = ExpiryTold::Expired;
        assert_eq!(secret.duty(at(10 * DAY - 1), WEEK), None);
        assert_eq!(secret.duty(at(10 * DAY), WEEK), Some(Duty::Purge));
        assert_eq!(secret.purge_at(at(3 * DAY), WEEK), Some(at(10 * DAY)));
        assert_eq!(secret.purge_at(at(3 * DAY - 1), WEEK), None);
        assert_eq!(secret.next_due(Duration::MAX), Some(Timestamp::from_micros(i64::MAX)));
    }

    #[test]
    fn a_deleted_secret_is_only_purged() {
        let deletion = Some(Deletion { deleted_at: at(10), purge_at: at(90) });
        let secret = Secret { expires_at: Some(at(20)), deletion, ..secret() };
        assert_eq!((secret.next_due(WEEK), secret.duty(at(89), WEEK)), (Some(at(90)), None));
        assert_eq!(secret.duty(at(90), WEEK), Some(Duty::Purge));
        assert_eq!(secret.purge_at(at(0), WEEK), Some(at(90)));
    }

    #[test]
    fn a_version_retires_unless_it_is_current_or_not_readable_anyway() {
        let mut secret = secret();
        assert_eq!(
            (secret.next_due(WEEK), secret.duty(at(50), WEEK)),
            (Some(at(50)), Some(Duty::RetireVersions))
        );
        let first = secret.versions.find(1).unwrap().clone();
        assert!(!secret.is_retired(&first, at(49)) && secret.is_retired(&first, at(50)));
        secret.version = 1;
        assert_eq!((secret.next_due(WEEK), secret.is_retired(&first, at(50))), (None, false));
        secret.version = 2;
        secret.versions = secret.versions.with_changed(Version { state: VersionState::Disabled, ..first });
        assert_eq!(secret.next_due(WEEK), None);
    }
}

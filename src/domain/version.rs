//! The versions of a secret, without their values: which are kept, and which one is current.

use std::time::Duration;

use super::{Secret, Timestamp, ValueSize};

/// How many versions of a secret are kept. When one more is added, the oldest ones are removed that are not protected: the current
/// one, a pending one, and those within their grace periods.
pub const MAX_KEPT_VERSIONS: u32 = 100;
/// How many versions a secret has at most, the protected ones among them.
pub const MAX_VERSIONS: u32 = 500;
/// How many versions are removed at once, at most: each is an operation of the commit. The next new version removes the others.
const MAX_REMOVED: usize = 50;

/// A version of a secret, without its value. The catalog holds at least one for each secret, so the type is kept small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The version's number, from 1.
    pub number: u32,
    /// Whether the value can be read.
    pub state: VersionState,
    /// When the version was created; `None` where an old release created it, which did not record the time.
    pub created_at: Option<Timestamp>,
    /// When the state last changed; `None` where it never did.
    pub changed_at: Option<Timestamp>,
    /// The nonce with which the value was sealed, different for every value; it shows that the stored value is the right
    /// one. `None` where an old release created the version, which did not record the nonce.
    pub seal: Option<[u8; 12]>,
    /// The SHA-256 digest of the wrapped data key that was destroyed; `None` where the version is not destroyed, or where
    /// the stored record was damaged, so that its data key is unknown.
    pub destroyed_key: Option<Box<[u8; 32]>>,
    /// The end of the version's grace period, after which its value cannot be read; `None` where it has none.
    pub retires_at: Option<Timestamp>,
    /// The size of the value. It is not in the record of the secret: the catalog takes it from the record of the version. `None` unless
    /// a quota limits the bytes of its namespace.
    pub size: Option<ValueSize>,
}

/// The state of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// The value is the new one of a staged rotation. It cannot be read until the version becomes current.
    Pending,
    /// The value can be read.
    Enabled,
    /// The value cannot be read until the version is enabled again.
    Disabled,
    /// The value and its data key are gone for good.
    Destroyed,
}

impl Version {
    /// A new, enabled version. `seal` is the nonce with which its value was sealed.
    pub fn new(number: u32, created_at: Timestamp, seal: Option<[u8; 12]>) -> Self {
        Self {
            number,
            state: VersionState::Enabled,
            created_at: Some(created_at),
            changed_at: None,
            seal,
            destroyed_key: None,
            retires_at: None,
            size: None,
        }
    }

    /// The state at a time: a version whose grace period has ended is disabled, whether or not that is stored already.
    pub fn state_at(&self, now: Timestamp) -> VersionState {
        match self.state {
            VersionState::Enabled if self.has_retired(now) => VersionState::Disabled,
            state => state,
        }
    }

    /// The same version, disabled at that time.
    #[must_use]
    pub fn disabled(&self, at: Timestamp) -> Self {
        Self {
            state: VersionState::Disabled,
            changed_at: Some(at),
            retires_at: self.retires_at.filter(|retires_at| *retires_at > at),
            ..self.clone()
        }
    }

    /// The same version, enabled at that time. A grace period that has ended is over for good.
    #[must_use]
    pub fn enabled(&self, at: Timestamp) -> Self {
        Self { state: VersionState::Enabled, ..self.disabled(at) }
    }

    /// The same version, retired at that time: disabled, and without a grace period.
    #[must_use]
    pub fn retired(&self, at: Timestamp) -> Self {
        Self { retires_at: None, ..self.disabled(at) }
    }

    /// Whether its grace period has ended.
    fn has_retired(&self, now: Timestamp) -> bool {
        self.retires_at.is_some_and(|retires_at| retires_at <= now)
    }

    /// Whether it must not be removed for a newer version.
    fn is_protected(&self, current: u32, now: Timestamp) -> bool {
        let in_grace = self.retires_at.is_some() && !self.has_retired(now);
        self.number == current || self.state == VersionState::Pending || in_grace
    }

    /// Whether the store holds the value.
    pub fn is_stored(&self) -> bool {
        match self.state {
            VersionState::Pending | VersionState::Enabled | VersionState::Disabled => true,
            VersionState::Destroyed => false,
        }
    }
}

/// The versions of a secret that are kept: at least the current one, at most [`MAX_VERSIONS`]. Oldest first. Versions that were
/// removed leave gaps between the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions(Box<[Version]>);

impl Versions {
    /// The versions of a new secret.
    pub fn first(version: Version) -> Self {
        Self(Box::new([version]))
    }

    /// These versions, oldest first; `None` where no secret can have them: too few, too many, or not numbered upwards from 1 or
    /// more.
    pub fn from_oldest(versions: Vec<Version>) -> Option<Self> {
        let ascends = versions.is_sorted_by(|before, after| before.number < after.number);
        let whole = (1..=MAX_VERSIONS as usize).contains(&versions.len())
            && versions.first().is_some_and(|oldest| oldest.number > 0)
            && ascends;
        whole.then(|| Self(versions.into()))
    }

    /// All versions, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Version> {
        self.0.iter()
    }

    /// The version with this number.
    pub fn find(&self, number: u32) -> Option<&Version> {
        self.0.get(self.position(number)?)
    }

    /// The number of the next new version; `None` where there is none left.
    pub fn next_number(&self) -> Option<u32> {
        self.0.last()?.number.checked_add(1)
    }

    /// These versions and a newer one, and the numbers of those that had to be removed for that. `current` is the number of the version that
    /// is current then. `None` where too many are protected.
    #[must_use]
    pub fn with_next(&self, next: Version, current: u32, now: Timestamp) -> Option<(Self, Vec<u32>)> {
        let all = || self.0.iter().chain([&next]);
        let too_many = all().count().saturating_sub(MAX_KEPT_VERSIONS as usize);
        let removable = all().filter(|version| **version != next && !version.is_protected(current, now));
        let removed: Vec<_> =
            removable.map(|version| version.number).take(too_many.min(MAX_REMOVED)).collect();
        let kept = all().filter(|version| removed.binary_search(&version.number).is_err());
        Some((Self::from_oldest(kept.cloned().collect())?, removed))
    }

    /// These versions, with `changed` in place of the version that has the same number.
    #[must_use]
    pub fn with_changed(&self, changed: Version) -> Self {
        let mut versions = self.clone();
        if let Some(version) = self.position(changed.number).and_then(|at| versions.0.get_mut(at)) {
            *version = changed;
        }
        versions
    }

    /// Takes over the sizes of values that are not known yet. Returns whether there were any.
    pub fn learn_sizes(&mut self, size_of: impl Fn(u32) -> Option<ValueSize>) -> bool {
        let mut learnt = false;
        for version in self.0.iter_mut().filter(|version| version.size.is_none() && version.is_stored()) {
            version.size = size_of(version.number);
            learnt |= version.size.is_some();
        }
        learnt
    }

    fn position(&self, number: u32) -> Option<usize> {
        self.0.binary_search_by_key(&number, |version| version.number).ok()
    }
}

impl Secret {
    /// Makes a version the current one, at the time of the last change. The version that was current stays readable for the grace
    /// period; `None`: as the rotation policy says, or else as long as it is kept and enabled. A planned rotation is finished by
    /// that. The grace period and the interval of the policy begin `now`: the last change can be ahead of it, where a clock was once
    /// wrong.
    pub fn make_current(&mut self, number: u32, grace_period: Option<Duration>, now: Timestamp) {
        let at = self.updated_at;
        let former = self.versions.find(self.version).filter(|former| former.number != number);
        if let Some(former) = former.filter(|former| former.state == VersionState::Enabled) {
            let policy = self.rotation.as_ref().and_then(|rotation| rotation.policy.grace_period);
            let former = match grace_period.or(policy) {
                None => former.clone(),
                Some(Duration::ZERO) => former.retired(at),
                Some(grace_period) => Version { retires_at: Some(now.plus(grace_period)), ..former.clone() },
            };
            self.versions = self.versions.with_changed(former);
        }
        if let Some(current) = self.versions.find(number) {
            let changed_at =
                if current.state == VersionState::Pending { Some(at) } else { current.changed_at };
            let current =
                Version { state: VersionState::Enabled, changed_at, retires_at: None, ..current.clone() };
            self.versions = self.versions.with_changed(current);
        }
        self.version = number;
        self.rotated_at = Some(at);
        if let Some(rotation) = &mut self.rotation {
            rotation.finished(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u32) -> Version {
        Version::new(number, Timestamp::from_micros(i64::from(number)), Some([1; 12]))
    }

    fn numbers(versions: &Versions) -> Vec<u32> {
        versions.iter().map(|version| version.number).collect()
    }

    /// A time at which all versions of these tests are made.
    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    #[test]
    fn a_hundred_versions_are_kept_and_found_by_number() {
        let mut versions = Versions::first(version(1));
        for number in 2..=100 {
            assert_eq!(versions.next_number(), Some(number));
            let (next, removed) = versions.with_next(version(number), number, NOW).unwrap();
            assert_eq!(removed, Vec::<u32>::new());
            versions = next;
        }
        let (versions, removed) = versions.with_next(version(101), 101, NOW).unwrap();
        assert_eq!(removed, [1]);
        assert_eq!(numbers(&versions), (2..=101).collect::<Vec<_>>());
        assert_eq!(versions.find(2), Some(&version(2)));
        assert_eq!(versions.find(101), Some(&version(101)));
        for gone in [0, 1, 102, u32::MAX] {
            assert_eq!(versions.find(gone), None);
        }
        assert_eq!(Versions::first(version(u32::MAX)).next_number(), None);
    }

    #[test]
    fn the_current_one_a_pending_one_and_those_in_grace_are_not_removed() {
        let later = Timestamp::from_micros(NOW.as_micros() + 1);
        let mut versions: Vec<_> = (1..=100).map(version).collect();
        versions[0] = Version { retires_at: Some(later), ..version(1) };
        versions[2].state = VersionState::Pending;
        versions[3] = Version { retires_at: Some(NOW), ..version(4) };
        let versions = Versions::from_oldest(versions).unwrap();
        // Version 2 is current, and stays so: 101 is a pending one.
        let (versions, removed) = versions.with_next(version(101), 2, NOW).unwrap();
        assert_eq!((removed, versions.find(4)), (vec![4], None));
        assert!([1, 2, 3, 5, 101].iter().all(|number| versions.find(*number).is_some()));
        let (versions, removed) = versions.with_next(version(102), 102, later).unwrap();
        assert_eq!((removed, versions.find(1)), (vec![1], None));
        assert_eq!(Versions::from_oldest(versions.iter().cloned().collect()), Some(versions));
    }

    #[test]
    fn up_to_five_hundred_versions_are_in_grace_and_go_in_portions_when_it_ends() {
        let end = Timestamp::from_micros(NOW.as_micros() + 1);
        let graced = |number| Version { retires_at: Some(end), ..version(number) };
        let mut versions = Versions::first(graced(1));
        for number in 2..=500 {
            versions = versions.with_next(graced(number), number, NOW).unwrap().0;
        }
        assert_eq!(versions.with_next(graced(501), 501, NOW), None);
        let mut left = 500;
        for number in 501..=508 {
            let (next, removed) = versions.with_next(version(number), number, end).unwrap();
            left = left + 1 - removed.len();
            assert!(removed.len() <= MAX_REMOVED && numbers(&next).len() == left);
            versions = next;
        }
        assert_eq!(left, 108);
        let (versions, _) = versions.with_next(version(509), 509, end).unwrap();
        assert_eq!(numbers(&versions), (410..=509).collect::<Vec<_>>());
    }

    #[test]
    fn a_version_retires_at_the_end_of_its_grace_period() {
        let (before, end) = (NOW, Timestamp::from_micros(NOW.as_micros() + 1));
        let graced = Version { retires_at: Some(end), ..version(1) };
        assert_eq!(
            (graced.state_at(before), graced.state_at(end)),
            (VersionState::Enabled, VersionState::Disabled)
        );
        let retired = graced.retired(end);
        assert_eq!(
            (retired.state, retired.changed_at, retired.retires_at),
            (VersionState::Disabled, Some(end), None)
        );
        // A version that was disabled and enabled within its grace period still retires; one that is enabled later does not.
        let again = graced.disabled(before).enabled(before);
        assert_eq!((again.state, again.retires_at), (VersionState::Enabled, Some(end)));
        let kept = graced.enabled(end);
        assert_eq!((kept.state_at(end), kept.retires_at), (VersionState::Enabled, None));
    }

    #[test]
    fn a_change_is_of_one_version() {
        let (versions, _) = Versions::first(version(1)).with_next(version(2), 2, NOW).unwrap();
        let changed = Version { state: VersionState::Disabled, ..version(1) };
        let after = versions.with_changed(changed.clone());
        assert_eq!((after.find(1), after.find(2)), (Some(&changed), Some(&version(2))));
        assert_eq!(versions.with_changed(version(3)), versions);
    }

    #[test]
    fn versions_that_no_secret_can_have_are_refused() {
        let of = |numbers: &[u32]| Versions::from_oldest(numbers.iter().copied().map(version).collect());
        assert!(of(&[5, 6]).is_some() && of(&[1, 3, 300]).is_some());
        for wrong in [&[][..], &[0, 1], &[2, 1], &[1, 3, 2], &[1, 1]] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
        assert!(of(&(1..=500).collect::<Vec<_>>()).is_some());
        assert_eq!(of(&(1..=501).collect::<Vec<_>>()), None);
    }

    #[test]
    fn sizes_are_learnt_once_and_only_of_values_that_are_stored() {
        let destroyed = Version { state: VersionState::Destroyed, ..version(2) };
        let (mut versions, _) = Versions::first(version(1)).with_next(destroyed, 1, NOW).unwrap();
        let bytes = |versions: &Versions| {
            versions.iter().map(|version| version.size.map(ValueSize::bytes)).collect::<Vec<_>>()
        };
        assert!(!versions.learn_sizes(|_| None));
        assert!(versions.learn_sizes(|number| ValueSize::of_encoded(number as usize + 1)));
        assert!(!versions.learn_sizes(|_| ValueSize::of_encoded(9)));
        assert_eq!(bytes(&versions), [Some(1), None]);
    }

    #[test]
    fn a_version_takes_little_memory() {
        assert!(size_of::<Version>() <= 80, "{}", size_of::<Version>());
    }
}

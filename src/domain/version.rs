//! The versions of a secret, without their values.

use super::Timestamp;

/// How many versions of a secret are kept. When one more is added, the oldest is removed.
pub const MAX_KEPT_VERSIONS: u32 = 100;

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
        }
    }

    /// Whether the store holds the value.
    pub fn is_stored(&self) -> bool {
        match self.state {
            VersionState::Pending | VersionState::Enabled | VersionState::Disabled => true,
            VersionState::Destroyed => false,
        }
    }
}

/// The kept versions of a secret: at least the current one, at most [`MAX_KEPT_VERSIONS`]. Oldest first, numbered without a
/// gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions(Box<[Version]>);

const MOST: usize = MAX_KEPT_VERSIONS as usize;

impl Versions {
    /// The versions of a new secret.
    pub fn first(version: Version) -> Self {
        Self(Box::new([version]))
    }

    /// These versions, oldest first; `None` where no secret can have them: too few, too many, or not numbered without a gap
    /// from 1 or more.
    pub fn from_oldest(versions: Vec<Version>) -> Option<Self> {
        let follows = |pair: &[Version]| match pair {
            [before, after] => before.number.checked_add(1) == Some(after.number),
            _ => false,
        };
        let whole = (1..=MOST).contains(&versions.len())
            && versions.first().is_some_and(|oldest| oldest.number > 0)
            && versions.windows(2).all(follows);
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

    /// These versions and one more, and the oldest version where it had to be removed for that.
    #[must_use]
    pub fn with_next(&self, next: Version) -> (Self, Option<Version>) {
        let mut versions = Vec::with_capacity(self.0.len() + 1);
        versions.extend(self.0.iter().cloned());
        versions.push(next);
        let oldest = (versions.len() > MOST).then(|| versions.remove(0));
        (Self(versions.into()), oldest)
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

    fn position(&self, number: u32) -> Option<usize> {
        let oldest = self.0.first()?.number;
        let position = usize::try_from(number.checked_sub(oldest)?).ok()?;
        (position < self.0.len()).then_some(position)
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

    #[test]
    fn a_hundred_versions_are_kept_and_found_by_number() {
        let mut versions = Versions::first(version(1));
        for number in 2..=100 {
            let (next, removed) = versions.with_next(version(number));
            assert_eq!(removed, None);
            versions = next;
        }
        let (versions, removed) = versions.with_next(version(101));
        assert_eq!(removed.map(|oldest| oldest.number), Some(1));
        assert_eq!(numbers(&versions), (2..=101).collect::<Vec<_>>());
        assert_eq!(versions.find(2), Some(&version(2)));
        assert_eq!(versions.find(101), Some(&version(101)));
        for gone in [0, 1, 102, u32::MAX] {
            assert_eq!(versions.find(gone), None);
        }
    }

    #[test]
    fn a_change_is_of_one_version() {
        let (versions, _) = Versions::first(version(1)).with_next(version(2));
        let changed = Version { state: VersionState::Disabled, ..version(1) };
        let after = versions.with_changed(changed.clone());
        assert_eq!((after.find(1), after.find(2)), (Some(&changed), Some(&version(2))));
        assert_eq!(versions.with_changed(version(3)), versions);
    }

    #[test]
    fn versions_that_no_secret_can_have_are_refused() {
        let of = |numbers: &[u32]| Versions::from_oldest(numbers.iter().copied().map(version).collect());
        assert!(of(&[5, 6]).is_some());
        for wrong in [&[][..], &[0, 1], &[1, 3], &[2, 1], &[1, 1]] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
        assert_eq!(of(&(1..=101).collect::<Vec<_>>()), None);
    }

    #[test]
    fn a_version_takes_little_memory() {
        assert!(size_of::<Version>() <= 80, "{}", size_of::<Version>());
    }
}

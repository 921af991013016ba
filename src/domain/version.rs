use super::Timestamp;

/// How many versions of a secret are kept; with one more the oldest is removed.
pub const MAX_KEPT_VERSIONS: u32 = 100;

/// A version of a secret: what is known of it without its value. A catalog holds at least one for each secret, so it is
/// kept small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub number: u32,
    /// What may be done with it.
    pub state: VersionState,
    /// When it was made; `None` where a release made it that did not note that.
    pub created_at: Option<Timestamp>,
    /// When its state last changed; `None` where it never did.
    pub changed_at: Option<Timestamp>,
    /// The nonce that its value was sealed with, which no other value of the same place has; `None` where a release made it
    /// that did not note that.
    pub seal: Option<[u8; 12]>,
    /// The SHA-256 digest of the wrapped data key that was destroyed; `None` where none was, or where what stood in its
    /// place was not it.
    pub destroyed_key: Option<Box<[u8; 32]>>,
}

/// The state of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// Its value can be read.
    Enabled,
    /// Its value can not be read until it is enabled again.
    Disabled,
    /// Its value and data key are gone, for good.
    Destroyed,
}

impl Version {
    /// A version whose value was sealed with this nonce.
    pub fn new(number: u32, created_at: Timestamp, seal: Option<[u8; 12]>) -> Self {
        Self {
            number,
            state: VersionState::Enabled,
            created_at: Some(created_at),
            changed_at: None,
            seal,
            destroyed_key: None,
        }
    }

    /// Whether the store holds its value.
    pub fn is_stored(&self) -> bool {
        match self.state {
            VersionState::Enabled | VersionState::Disabled => true,
            VersionState::Destroyed => false,
        }
    }
}

/// The versions of a secret that are kept: at least the current one, at most [`MAX_KEPT_VERSIONS`], oldest first, their
/// numbers without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions(Box<[Version]>);

const MOST: usize = MAX_KEPT_VERSIONS as usize;

impl Versions {
    /// Those of a new secret.
    pub fn first(version: Version) -> Self {
        Self(Box::new([version]))
    }

    /// These, when they can be a secret's.
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

    /// All of them, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Version> {
        self.0.iter()
    }

    /// The version of that number.
    pub fn find(&self, number: u32) -> Option<&Version> {
        self.0.get(self.position(number)?)
    }

    /// The same with one more, and the oldest where that is now one too many.
    #[must_use]
    pub fn with_next(&self, next: Version) -> (Self, Option<Version>) {
        let mut versions = Vec::with_capacity(self.0.len() + 1);
        versions.extend(self.0.iter().cloned());
        versions.push(next);
        let oldest = (versions.len() > MOST).then(|| versions.remove(0));
        (Self(versions.into()), oldest)
    }

    /// The same with another state of one of them.
    #[must_use]
    pub fn with_changed(&self, changed: Version) -> Self {
        let mut versions = self.clone();
        if let Some(there) = self.position(changed.number).and_then(|at| versions.0.get_mut(at)) {
            *there = changed;
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
    fn what_can_not_be_a_secrets_versions_is_refused() {
        let of = |numbers: &[u32]| Versions::from_oldest(numbers.iter().copied().map(version).collect());
        assert!(of(&[5, 6]).is_some());
        for wrong in [&[][..], &[0, 1], &[1, 3], &[2, 1], &[1, 1]] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
        assert_eq!(of(&(1..=101).collect::<Vec<_>>()), None);
    }

    #[test]
    fn a_version_takes_little_memory() {
        assert!(size_of::<Version>() <= 64, "{}", size_of::<Version>());
    }
}

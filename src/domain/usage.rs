//! When secrets were last read, and by whom, to the minute.

use std::cmp::Reverse;
use std::num::NonZeroU32;

use super::Timestamp;

/// How many consumers of a version are known at most. Those that read it longest ago fall out first.
const MAX_CONSUMERS: usize = 64;
/// How many bytes the consumers of all versions of a secret take together at most. Those that read longest ago fall out first.
const MAX_CONSUMER_BYTES: usize = 48 * 1024;
/// More bytes than a consumer takes beside its name.
const CONSUMER_OVERHEAD: usize = 16;
const MINUTE: i64 = 60 * 1_000_000;

/// A minute, counted from 1970-01-01T00:00:00Z. Times before the minute 1 count as that minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(NonZeroU32);

impl Minute {
    /// The minute in which a point in time lies.
    pub fn of(at: Timestamp) -> Self {
        let number = u32::try_from(at.as_micros().div_euclid(MINUTE).max(1)).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
    }

    /// The minute with this number; `None` for 0.
    pub fn from_number(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number of the minute: how many minutes lie between 1970 and its beginning.
    pub fn number(self) -> u32 {
        self.0.get()
    }

    /// The beginning of the minute.
    pub fn start(self) -> Timestamp {
        Timestamp::from_micros(i64::from(self.0.get()).saturating_mul(MINUTE))
    }

    /// Whether the whole of the minute lies before a point in time.
    pub fn is_before(self, at: Timestamp) -> bool {
        self.start().as_micros().saturating_add(MINUTE) <= at.as_micros()
    }
}

/// How the values of a secret were used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretUsage {
    /// The last read of any version, also of one that is gone; `None` where there was no read.
    pub last_read: Option<Minute>,
    /// The versions that were read and that still have a value, in no order.
    pub versions: Vec<VersionUsage>,
}

/// How the value of a version was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionUsage {
    /// The number of the version.
    pub number: u32,
    /// The last read.
    pub last_read: Minute,
    /// Those that read it last, the latest first. At most 64.
    pub consumers: Vec<Consumer>,
}

/// A principal that has read the value of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The name of the principal.
    pub principal: Box<str>,
    /// Its last read.
    pub last_read: Minute,
}

impl SecretUsage {
    /// Notes a read. The later of this read and of one that is known counts. Returns whether that says something new.
    pub fn note(&mut self, number: u32, principal: &str, at: Minute) -> bool {
        let known = self.last_read;
        self.last_read = known.max(Some(at));
        let version = match self.versions.iter_mut().position(|version| version.number == number) {
            Some(position) => self.versions.get_mut(position),
            None => {
                self.versions.push(VersionUsage { number, last_read: at, consumers: Vec::new() });
                self.versions.last_mut()
            }
        };
        let news = version.is_some_and(|version| version.note(principal, at));
        news || self.last_read != known
    }

    /// Keeps only the versions for which this holds, and as many consumers as there is room for.
    pub fn trim(&mut self, keeps: impl Fn(u32) -> bool) {
        self.versions.retain(|version| keeps(version.number));
        self.versions.iter_mut().for_each(VersionUsage::trim);
        let size = |consumer: &Consumer| consumer.principal.len() + CONSUMER_OVERHEAD;
        let all = || self.versions.iter().flat_map(|version| &version.consumers);
        if all().map(size).sum::<usize>() <= MAX_CONSUMER_BYTES {
            return;
        }
        let mut sizes: Vec<_> = all().map(|consumer| (Reverse(consumer.last_read), size(consumer))).collect();
        sizes.sort_unstable();
        let mut bytes = 0;
        let first_without_room = sizes.into_iter().find(|(_, size)| {
            bytes += size;
            bytes > MAX_CONSUMER_BYTES
        });
        if let Some((Reverse(too_old), _)) = first_without_room {
            // All consumers of one minute fall out together.
            for version in &mut self.versions {
                version.consumers.retain(|consumer| consumer.last_read > too_old);
            }
        }
    }

    /// The usage of the version with this number; `None` where it was not read.
    pub fn of_version(&self, number: u32) -> Option<&VersionUsage> {
        self.versions.iter().find(|version| version.number == number)
    }
}

impl VersionUsage {
    fn note(&mut self, principal: &str, at: Minute) -> bool {
        let news = at > self.last_read;
        self.last_read = self.last_read.max(at);
        if let Some(consumer) = self.consumers.iter_mut().find(|of| *of.principal == *principal) {
            let later = at > consumer.last_read;
            consumer.last_read = consumer.last_read.max(at);
            return later || news;
        }
        // One that would fall out at once says nothing new.
        let later_ones = self.consumers.iter().filter(|consumer| consumer.last_read >= at).count();
        if later_ones >= MAX_CONSUMERS {
            return news;
        }
        self.consumers.push(Consumer { principal: principal.into(), last_read: at });
        true
    }

    fn trim(&mut self) {
        self.consumers.sort_unstable_by(|a, b| {
            b.last_read.cmp(&a.last_read).then_with(|| a.principal.cmp(&b.principal))
        });
        self.consumers.truncate(MAX_CONSUMERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(number: u32) -> Minute {
        Minute::from_number(number).unwrap()
    }

    #[test]
    fn a_minute_is_before_what_lies_behind_its_end() {
        let at = Timestamp::from_micros;
        assert_eq!(Minute::of(at(120_000_000)), minute(2));
        assert_eq!(Minute::of(at(179_999_999)), minute(2));
        assert_eq!(minute(2).start(), at(120_000_000));
        assert!(!minute(2).is_before(at(179_999_999)));
        assert!(minute(2).is_before(at(180_000_000)));
        for early in [i64::MIN, -1, 0, 59_999_999] {
            assert_eq!(Minute::of(at(early)), minute(1));
        }
        assert_eq!(Minute::of(at(i64::MAX)), minute(u32::MAX));
        assert_eq!(Minute::from_number(0), None);
    }

    #[test]
    fn notes_are_merged_by_the_later_one_in_any_order() {
        let notes = [(1, "key:a", 5), (1, "key:b", 7), (1, "key:a", 3), (2, "key:a", 6), (1, "key:b", 7)];
        let merged = |notes: &mut dyn Iterator<Item = &(u32, &str, u32)>| {
            let mut usage = SecretUsage::default();
            for (number, principal, at) in notes {
                usage.note(*number, principal, minute(*at));
            }
            usage.trim(|_| true);
            usage.versions.sort_by_key(|version| version.number);
            usage
        };
        let usage = merged(&mut notes.iter());
        assert_eq!(usage, merged(&mut notes.iter().rev()));
        assert_eq!(usage.last_read, Some(minute(7)));
        let first = usage.of_version(1).unwrap();
        assert_eq!(first.last_read, minute(7));
        let shown: Vec<_> =
            first.consumers.iter().map(|of| (&*of.principal, of.last_read.number())).collect();
        assert_eq!(shown, [("key:b", 7), ("key:a", 5)]);
        assert_eq!(usage.of_version(2).unwrap().last_read, minute(6));
        assert_eq!(usage.of_version(3), None);
    }

    #[test]
    fn only_a_later_read_is_news() {
        let mut usage = SecretUsage::default();
        assert!(usage.note(1, "a", minute(5)));
        assert!(!usage.note(1, "a", minute(5)));
        assert!(!usage.note(1, "a", minute(4)));
        assert!(usage.note(1, "b", minute(4)));
        assert!(usage.note(2, "a", minute(5)));
        assert!(usage.note(1, "a", minute(6)));
    }

    #[test]
    fn the_consumers_that_read_longest_ago_fall_out() {
        let mut usage = SecretUsage::default();
        for at in 1..=100 {
            usage.note(1, &format!("key:{at}"), minute(at));
        }
        usage.trim(|_| true);
        let version = usage.of_version(1).unwrap();
        assert_eq!(version.consumers.len(), MAX_CONSUMERS);
        assert_eq!(version.consumers.last().unwrap().last_read, minute(37));
        assert!(!usage.clone().note(1, "key:late", minute(37)));
        assert!(usage.note(1, "key:late", minute(38)));
    }

    #[test]
    fn a_secret_has_a_bound_on_the_bytes_of_all_consumers() {
        let mut usage = SecretUsage::default();
        for number in 1..=100 {
            for reader in 0..64 {
                let at = minute(number * 100 + reader);
                usage.note(number, &format!("cert:{}{reader}", "x".repeat(500)), at);
            }
        }
        usage.trim(|_| true);
        let all: Vec<_> = usage.versions.iter().flat_map(|version| &version.consumers).collect();
        let bytes: usize = all.iter().map(|consumer| consumer.principal.len()).sum();
        assert!((40 * 1024..=MAX_CONSUMER_BYTES).contains(&bytes), "{bytes}");
        assert!(all.iter().all(|consumer| consumer.last_read > minute(9_800)));
        // The time of the last read outlives the consumers.
        assert_eq!(usage.versions.len(), 100);
        assert_eq!(usage.of_version(1).unwrap().last_read, minute(163));
    }

    #[test]
    fn a_version_without_a_value_is_left_out_and_its_read_still_counts_for_the_secret() {
        let mut usage = SecretUsage::default();
        usage.note(1, "a", minute(9));
        usage.note(2, "a", minute(5));
        usage.trim(|number| number == 2);
        assert_eq!((usage.versions.len(), usage.last_read), (1, Some(minute(9))));
    }
}

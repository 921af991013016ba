//! Who uses which version of a secret: when its values were last read, to the minute, and which versions consumers have acknowledged.

use std::cmp::Reverse;
use std::num::NonZeroU32;

use super::Timestamp;

/// How many consumers of a version are known at most. Those that used it longest ago fall out first.
const MAX_CONSUMERS: usize = 64;
/// The same for all versions of a secret, and the names that one principal gives itself.
const MAX_OF_PRINCIPAL: usize = 64;
/// How many bytes the consumers of all versions of a secret take together at most. Those whose use is longest ago fall out first.
const MAX_CONSUMER_BYTES: usize = 48 * 1024;
/// More bytes than a consumer takes beside its names.
const CONSUMER_OVERHEAD: usize = 32;
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
    /// The versions that were used and that still have a value, in no order.
    pub versions: Vec<VersionUsage>,
}

/// How the value of a version was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionUsage {
    /// The number of the version.
    pub number: u32,
    /// The last read; `None` where there was no read.
    pub last_read: Option<Minute>,
    /// Those that used it last, the latest first. At most 64.
    pub consumers: Vec<Consumer>,
    /// Whether some consumers have fallen out.
    pub has_more: bool,
}

/// Somebody who has read the value of a version, or has acknowledged the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The name of the principal.
    pub principal: Box<str>,
    /// The name that the consumer gave itself when it acknowledged the version; empty: none.
    pub name: Box<str>,
    /// Its last read; `None` where there was no read.
    pub last_read: Option<Minute>,
    /// When it last acknowledged the version; `None`: it did not.
    pub acknowledged_at: Option<Timestamp>,
}

impl SecretUsage {
    /// Notes a read. The later of this read and of one that is known counts. Returns whether that says something new.
    pub fn note(&mut self, number: u32, principal: &str, at: Minute) -> bool {
        let known = self.last_read;
        self.last_read = known.max(Some(at));
        let read = Consumer { last_read: Some(at), ..Consumer::new(principal, "") };
        let news = self.version_mut(number).is_some_and(|version| version.note(read));
        news || self.last_read != known
    }

    /// Notes that a consumer has acknowledged a version. `name` is the one that it gave itself; empty: none.
    pub fn acknowledge(&mut self, number: u32, principal: &str, name: &str, at: Timestamp) {
        let acknowledged = Consumer { acknowledged_at: Some(at), ..Consumer::new(principal, name) };
        if let Some(version) = self.version_mut(number) {
            version.note(acknowledged);
        }
    }

    fn version_mut(&mut self, number: u32) -> Option<&mut VersionUsage> {
        let position = self.versions.iter().position(|version| version.number == number);
        let position = position.unwrap_or_else(|| {
            self.versions.push(VersionUsage {
                number,
                last_read: None,
                consumers: Vec::new(),
                has_more: false,
            });
            self.versions.len() - 1
        });
        self.versions.get_mut(position)
    }

    /// Whether all consumers of a version are known, there is one, and each has since used a newer one: the current version, or one with a
    /// higher number. A read counts from the minute after the last use of the old version, since the order within a minute is not known; an
    /// acknowledgement counts in the same minute.
    pub fn has_moved_on(&self, number: u32, current: u32) -> bool {
        let Some(version) = self.of_version(number).filter(|version| !version.has_more) else { return false };
        let newer = || self.versions.iter().filter(|of| of.number == current || of.number > number);
        let has_moved = |consumer: &Consumer| {
            let last = consumer.last_use();
            newer().filter_map(|version| version.find(&consumer.principal, &consumer.name)).any(|newer| {
                newer.last_read > last
                    || newer.acknowledged_at.map(Minute::of).is_some_and(|at| Some(at) >= last)
            })
        };
        !version.consumers.is_empty() && version.consumers.iter().all(has_moved)
    }

    /// Keeps only the versions for which this holds, and as many consumers as there is room for.
    pub fn trim(&mut self, keeps: impl Fn(u32) -> bool) {
        self.versions.retain(|version| keeps(version.number));
        self.versions.iter_mut().for_each(VersionUsage::trim);
        self.trim_principals();
        let size = |consumer: &Consumer| consumer.principal.len() + consumer.name.len() + CONSUMER_OVERHEAD;
        let all = || self.versions.iter().flat_map(|version| &version.consumers);
        if all().map(size).sum::<usize>() <= MAX_CONSUMER_BYTES {
            return;
        }
        let mut sizes: Vec<_> =
            all().map(|consumer| (Reverse(consumer.last_use()), size(consumer))).collect();
        sizes.sort_unstable();
        let mut bytes = 0;
        let first_without_room = sizes.into_iter().find(|(_, size)| {
            bytes += size;
            bytes > MAX_CONSUMER_BYTES
        });
        if let Some((Reverse(too_old), _)) = first_without_room {
            // All consumers of one minute fall out together.
            for version in &mut self.versions {
                let before = version.consumers.len();
                version.consumers.retain(|consumer| consumer.last_use() > too_old);
                version.has_more |= version.consumers.len() < before;
            }
        }
    }

    /// Keeps the latest uses of each principal: the names that one gives itself must not push the others out.
    fn trim_principals(&mut self) {
        let mut uses: Vec<_> = (0..)
            .zip(&self.versions)
            .flat_map(|(nth, version)| version.consumers.iter().map(move |consumer| (nth, consumer)))
            .map(|(nth, consumer)| (&consumer.principal, Reverse(consumer.last_use()), nth, &consumer.name))
            .collect();
        if uses.len() <= MAX_OF_PRINCIPAL {
            return;
        }
        uses.sort_unstable();
        let (mut surplus, mut before, mut count) = (Vec::new(), None, 0);
        for (principal, _, nth, name) in uses {
            count = if before == Some(principal) { count + 1 } else { 1 };
            before = Some(principal);
            if count > MAX_OF_PRINCIPAL {
                surplus.push((nth, principal.clone(), name.clone()));
            }
        }
        for (nth, principal, name) in surplus {
            if let Some(version) = self.versions.get_mut::<usize>(nth) {
                version.consumers.retain(|consumer| !consumer.is(&principal, &name));
                version.has_more = true;
            }
        }
    }

    /// The usage of the version with this number; `None` where it was not used.
    pub fn of_version(&self, number: u32) -> Option<&VersionUsage> {
        self.versions.iter().find(|version| version.number == number)
    }
}

impl VersionUsage {
    /// Notes a use. Returns whether that says something new.
    fn note(&mut self, used: Consumer) -> bool {
        let news = used.last_read > self.last_read;
        self.last_read = self.last_read.max(used.last_read);
        let known = self.consumers.iter_mut().find(|of| of.is(&used.principal, &used.name));
        if let Some(consumer) = known {
            let later =
                used.last_read > consumer.last_read || used.acknowledged_at > consumer.acknowledged_at;
            consumer.last_read = consumer.last_read.max(used.last_read);
            consumer.acknowledged_at = consumer.acknowledged_at.max(used.acknowledged_at);
            return later || news;
        }
        // One that would fall out at once says nothing new.
        let later_ones =
            self.consumers.iter().filter(|consumer| consumer.last_use() >= used.last_use()).count();
        if later_ones >= MAX_CONSUMERS {
            return news || !std::mem::replace(&mut self.has_more, true);
        }
        self.consumers.push(used);
        true
    }

    fn find(&self, principal: &str, name: &str) -> Option<&Consumer> {
        self.consumers.iter().find(|consumer| consumer.is(principal, name))
    }

    fn trim(&mut self) {
        self.consumers.sort_unstable_by(|a, b| {
            let names = |consumer: &Consumer| (consumer.principal.clone(), consumer.name.clone());
            b.last_use().cmp(&a.last_use()).then_with(|| names(a).cmp(&names(b)))
        });
        self.has_more |= self.consumers.len() > MAX_CONSUMERS;
        self.consumers.truncate(MAX_CONSUMERS);
    }
}

impl Consumer {
    fn new(principal: &str, name: &str) -> Self {
        Self { principal: principal.into(), name: name.into(), last_read: None, acknowledged_at: None }
    }

    fn is(&self, principal: &str, name: &str) -> bool {
        *self.principal == *principal && *self.name == *name
    }

    /// The minute of its last read or acknowledgement.
    fn last_use(&self) -> Option<Minute> {
        self.last_read.max(self.acknowledged_at.map(Minute::of))
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
        assert_eq!(first.last_read, Some(minute(7)));
        let shown: Vec<_> = first.consumers.iter().map(|of| (&*of.principal, of.last_read)).collect();
        assert_eq!(shown, [("key:b", Some(minute(7))), ("key:a", Some(minute(5)))]);
        assert_eq!(usage.of_version(2).unwrap().last_read, Some(minute(6)));
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
        assert_eq!(version.consumers.last().unwrap().last_read, Some(minute(37)));
        assert!(version.has_more);
        assert!(!usage.clone().note(1, "key:late", minute(37)));
        assert!(usage.note(1, "key:late", minute(38)));
    }

    #[test]
    fn the_names_that_a_principal_gives_itself_do_not_push_others_out() {
        let mut usage = SecretUsage::default();
        let at = Timestamp::from_micros(60_000_000 * 50);
        usage.acknowledge(1, "key:honest", "billing", at);
        for number in 0..400 {
            usage.acknowledge(1 + number % 20, "key:other", &format!("{number:0>128}"), at);
        }
        usage.trim(|_| true);
        assert!(usage.of_version(1).unwrap().find("key:honest", "billing").is_some());
        let of_other = usage.versions.iter().flat_map(|version| &version.consumers);
        assert_eq!(of_other.filter(|consumer| &*consumer.principal == "key:other").count(), MAX_OF_PRINCIPAL);
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
        assert!(all.iter().all(|consumer| consumer.last_read > Some(minute(9_800))));
        // The time of the last read outlives the consumers.
        assert_eq!(usage.versions.len(), 100);
        assert_eq!(usage.of_version(1).unwrap().last_read, Some(minute(163)));
        assert!(usage.versions.iter().any(|version| version.has_more));
    }

    #[test]
    fn a_version_without_a_value_is_left_out_and_its_read_still_counts_for_the_secret() {
        let mut usage = SecretUsage::default();
        usage.note(1, "a", minute(9));
        usage.note(2, "a", minute(5));
        usage.trim(|number| number == 2);
        assert_eq!((usage.versions.len(), usage.last_read), (1, Some(minute(9))));
    }

    #[test]
    fn an_acknowledgement_belongs_to_the_principal_and_its_own_name() {
        let at = |number: i64| Timestamp::from_micros(number * MINUTE);
        let mut usage = SecretUsage::default();
        usage.note(1, "key:a", minute(5));
        usage.acknowledge(1, "key:a", "", at(6));
        usage.acknowledge(1, "key:a", "web", at(7));
        usage.acknowledge(1, "key:a", "web", at(3));
        usage.trim(|_| true);
        let version = usage.of_version(1).unwrap();
        let shown: Vec<_> =
            version.consumers.iter().map(|of| (&*of.name, of.last_read, of.acknowledged_at)).collect();
        assert_eq!(shown, [("web", None, Some(at(7))), ("", Some(minute(5)), Some(at(6)))]);
        assert_eq!((version.last_read, usage.last_read), (Some(minute(5)), Some(minute(5))), "no read");
    }

    #[test]
    fn a_version_is_left_when_each_of_its_consumers_has_used_a_newer_one_since() {
        let at = |number: i64| Timestamp::from_micros(number * MINUTE);
        let mut usage = SecretUsage::default();
        assert!(!usage.has_moved_on(1, 2), "nobody is known");
        usage.note(1, "key:a", minute(5));
        usage.note(1, "key:b", minute(5));
        usage.note(2, "key:a", minute(6));
        usage.note(2, "key:b", minute(5));
        assert!(!usage.has_moved_on(1, 2), "b may have read the old version after the new one");
        let mut acknowledged = usage.clone();
        acknowledged.acknowledge(2, "key:b", "web", at(6));
        assert!(!acknowledged.has_moved_on(1, 2), "another consumer that shares the key");
        acknowledged.acknowledge(2, "key:b", "", at(5));
        assert!(acknowledged.has_moved_on(1, 2));
        usage.note(2, "key:b", minute(6));
        assert!(usage.has_moved_on(1, 2) && usage.has_moved_on(1, 3));
        // Back on the old version.
        usage.note(1, "key:a", minute(6));
        assert!(!usage.has_moved_on(1, 2));
        // After a way back, the current version is the newer one whatever its number is.
        assert!(!usage.has_moved_on(2, 1));
        usage.note(1, "key:a", minute(7));
        usage.note(1, "key:b", minute(7));
        assert!(usage.has_moved_on(2, 1));
        usage.versions.iter_mut().for_each(|version| version.has_more = true);
        assert!(!usage.has_moved_on(2, 1), "not all consumers are known");
    }
}

//! Transactions that one transaction of etcd makes together. None touches a key that another one touches or
//! requires. So each is made, or refused, as it would be alone, in any order.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::domain::Revision;
use crate::store::{
    Changed, CommitError, Digester, Entry, Expect, Key, MAX_OPERATIONS, MAX_TRANSACTION, NextDigest,
    Transaction,
};

/// How many checks a group may have whose changes are in transactions within that of the group, and how many changes it may have
/// then: see [`super::commit::nested`].
pub(super) const NESTING_CHECKS: usize = 96;
const NESTED_CHANGES: usize = 480;

/// A transaction that waits to be made.
pub(super) struct QueuedTransaction {
    /// The number that identifies it in the queue.
    pub(super) ticket: u64,
    pub(super) transaction: Transaction,
    pub(super) digester: Arc<dyn Digester>,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
}

/// The entries found at some keys.
pub(super) type ExistingEntries = HashMap<Key, Option<Entry>>;

impl QueuedTransaction {
    /// The keys that it changes, with their new values.
    fn changes(&self) -> impl Iterator<Item = (&Key, Option<&[u8]>)> {
        let put = self.transaction.put.iter().map(|(key, value)| (key, Some(value.as_slice())));
        put.chain(self.transaction.delete.iter().map(|key| (key, None)))
    }

    /// The keys at which the digest depends on the former record.
    fn replaces(&self) -> impl Iterator<Item = &Key> {
        let absent = |key: &Key| {
            self.transaction
                .require
                .iter()
                .any(|(required, expect)| required == key && *expect == Expect::Absent)
        };
        let covered = self.changes().map(|(key, _)| key).filter(|key| self.digester.covers(key));
        covered.filter(move |key| !absent(key))
    }

    fn requires(&self, key: &Key) -> bool {
        self.transaction.require.iter().any(|(required, _)| required == key)
    }

    /// The keys without a precondition that must be unchanged all the same, so that the digest is right.
    fn unrequired(&self) -> impl Iterator<Item = &Key> {
        self.replaces().filter(|key| !self.requires(key))
    }

    /// Whether its preconditions hold where the keys have these revisions.
    pub(super) fn holds(&self, at: &HashMap<Key, Option<Revision>>) -> bool {
        self.transaction.require.iter().all(|(key, expect)| {
            let found = at.get(key).copied().flatten();
            match expect {
                Expect::Absent => found.is_none(),
                Expect::At(revision) => found == Some(*revision),
            }
        })
    }
}

/// Transactions that are made together.
#[derive(Default)]
pub(super) struct TxnGroup {
    members: Vec<QueuedTransaction>,
    required: HashMap<Key, Expect>,
    changed: HashSet<Key>,
    /// The largest number of keys to be checked, beside the digest.
    checks: usize,
    /// The number of appended records, whose keys are not known yet.
    appended: usize,
    bytes: usize,
}

impl TxnGroup {
    /// Whether a transaction can be made together with this group. An empty group takes any.
    pub(super) fn takes(&self, next: &QueuedTransaction) -> bool {
        let bytes = self.bytes + next.transaction.size();
        let changes = self.changed.len() + self.appended + next.transaction.operations();
        // The digest is among the keys on both sides.
        let checks = self.checks_with(next) + 1;
        let most = if checks <= NESTING_CHECKS { NESTED_CHANGES } else { MAX_OPERATIONS };
        let fits = checks <= MAX_OPERATIONS && changes <= most && bytes <= MAX_TRANSACTION;
        self.is_empty() || fits && self.is_apart_from(next)
    }

    /// Adds a transaction that it takes.
    pub(super) fn add(&mut self, next: QueuedTransaction) {
        self.checks = self.checks_with(&next);
        self.bytes += next.transaction.size();
        self.appended += next.transaction.append.len();
        self.required.extend(next.transaction.require.iter().cloned());
        self.changed.extend(next.changes().map(|(key, _)| key.clone()));
        self.changed.insert(Key::digest());
        self.members.push(next);
    }

    fn checks_with(&self, next: &QueuedTransaction) -> usize {
        let new = next.transaction.require.iter().filter(|(key, _)| !self.required.contains_key(key));
        self.checks + new.count() + next.unrequired().count()
    }

    /// Whether a transaction and this group are independent of each other.
    fn is_apart_from(&self, next: &QueuedTransaction) -> bool {
        let touched = |key: &Key| self.changed.contains(key) || self.required.contains_key(key);
        let holds_too = |(key, expect): &(Key, Expect)| {
            !self.changed.contains(key) && self.required.get(key).is_none_or(|required| required == expect)
        };
        !next.changes().any(|(key, _)| touched(key)) && next.transaction.require.iter().all(holds_too)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many transactions it has.
    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.members.len()).unwrap_or(u64::MAX)
    }

    /// When the last caller stops waiting; `None`: one of them waits without a limit.
    pub(super) fn until(&self) -> Option<Instant> {
        let deadlines = self.members.iter().map(|member| member.transaction.deadline);
        deadlines.collect::<Option<Vec<_>>>()?.into_iter().max().map(Instant::from_std)
    }

    /// The keys to be read before the group can be made, beside the digest.
    pub(super) fn looks_at(&self) -> impl Iterator<Item = &Key> {
        self.members.iter().flat_map(QueuedTransaction::replaces)
    }

    /// Whether all members accept the present digest.
    pub(super) fn carries_on(&self, digest: &[u8]) -> bool {
        self.members.iter().all(|member| member.digester.carries_on(digest))
    }

    /// The digest after all changes of the group.
    pub(super) fn digest_after(&self, digest: &[u8], existing: &ExistingEntries) -> Option<NextDigest> {
        let before = |key: &Key| existing.get(key)?.as_ref().map(|entry| entry.value.as_slice());
        let changes = self.members.iter().flat_map(QueuedTransaction::changes);
        let changed: Vec<_> =
            changes.map(|(key, after)| Changed { key, before: before(key), after }).collect();
        let appended = self.members.iter().map(|member| member.transaction.append.len()).sum();
        self.members.first()?.digester.after(digest, &changed, appended)
    }

    /// The checks of the group: the preconditions of its members, and that every record on which the digest depends
    /// is unchanged.
    pub(super) fn checks(&self, existing: &ExistingEntries) -> BTreeSet<(Key, Expect)> {
        let required = self.members.iter().flat_map(|member| &member.transaction.require);
        let unrequired = self.members.iter().flat_map(QueuedTransaction::unrequired);
        let digest = Key::digest();
        let unchanged = unrequired.chain([&digest]).map(|key| {
            let entry = existing.get(key).and_then(Option::as_ref);
            (key.clone(), entry.map_or(Expect::Absent, |entry| Expect::At(entry.revision)))
        });
        required.cloned().chain(unchanged).collect()
    }

    pub(super) fn puts(&self) -> impl Iterator<Item = &(Key, Vec<u8>)> {
        self.members.iter().flat_map(|member| &member.transaction.put)
    }

    pub(super) fn deletes(&self) -> impl Iterator<Item = &Key> {
        self.members.iter().flat_map(|member| &member.transaction.delete)
    }

    /// The records that it appends, with the keys that this position gives them.
    pub(super) fn appended(&self, position: u64) -> Vec<(Key, &[u8])> {
        let keys = (0..=u16::MAX).map(|index| Key::appended_at(position, index));
        let records = self.members.iter().flat_map(|member| &member.transaction.append);
        keys.zip(records.map(Vec::as_slice)).collect()
    }

    /// Removes the members to be refused from the group, and answers them.
    pub(super) fn refuse(&mut self, why: &CommitError, refused: impl Fn(&QueuedTransaction) -> bool) {
        for member in self.members.extract_if(.., |member| refused(member)) {
            // The caller may have gone.
            let _ = member.answer.send(Err(why.clone()));
        }
    }

    /// Its members, in the order of their arrival.
    pub(super) fn into_members(self) -> Vec<QueuedTransaction> {
        self.members
    }

    /// Answers all of its members.
    pub(super) fn answer(self, outcome: &Result<Revision, CommitError>) {
        for member in self.members {
            let _ = member.answer.send(outcome.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Covers all keys but those that begin with an `v`.
    struct All;

    impl Digester for All {
        fn covers(&self, key: &Key) -> bool {
            key.as_bytes().first() != Some(&b'v')
        }

        fn carries_on(&self, _digest: &[u8]) -> bool {
            true
        }

        fn after(&self, _digest: &[u8], _changed: &[Changed<'_>], _appended: usize) -> Option<NextDigest> {
            Some(NextDigest { record: Vec::new(), position: 1 })
        }
    }

    fn key(name: &str) -> Key {
        Key::from_bytes(name.as_bytes())
    }

    fn waiting(require: &[(&str, Expect)], put: &[&str], delete: &[&str]) -> QueuedTransaction {
        let transaction = Transaction {
            require: require.iter().map(|(name, expect)| (key(name), *expect)).collect(),
            put: put.iter().map(|name| (key(name), vec![1])).collect(),
            delete: delete.iter().map(|name| key(name)).collect(),
            ..Transaction::default()
        };
        QueuedTransaction { ticket: 0, transaction, digester: Arc::new(All), answer: oneshot::channel().0 }
    }

    /// How many like this a group takes.
    fn taken(like: impl Fn(usize) -> QueuedTransaction) -> usize {
        let mut group = TxnGroup::default();
        let takes = |number: &usize| {
            let next = like(*number);
            let takes = group.takes(&next);
            if takes {
                group.add(next);
            }
            takes
        };
        (0..).take_while(takes).count()
    }

    #[test]
    fn only_what_is_apart_is_made_together() {
        use Expect::{Absent, At};
        let at = |revision| At(Revision(revision));
        let mut group = TxnGroup::default();
        group.add(waiting(&[("k", at(1)), ("a", Absent)], &["a", "va"], &["b"]));
        let others = [
            waiting(&[], &["a"], &[]),               // puts what another puts
            waiting(&[], &["b"], &[]),               // puts what another deletes
            waiting(&[], &[], &["a"]),               // deletes what another puts
            waiting(&[], &["k"], &[]),               // changes what another requires
            waiting(&[("va", Absent)], &["c"], &[]), // requires what another changes
            waiting(&[("b", at(1))], &["c"], &[]),   // the same, of what it deletes
            waiting(&[("k", at(2))], &["c"], &[]),   // requires what cannot be at the same time
            waiting(&[("k", Absent)], &["c"], &[]),
            waiting(&[("d", at(1))], &["c"], &[]), // the digest, which all change
            waiting(&[], &["d"], &[]),
        ];
        for other in others {
            assert!(!group.takes(&other));
        }
        assert!(group.takes(&waiting(&[("k", at(1)), ("c", Absent)], &["c"], &["e"])));
    }

    #[test]
    fn a_group_stays_within_what_etcd_takes_and_one_always_fits() {
        let name = |kind: &str, number: usize| format!("{kind}{number}");
        // Three puts each, of which one is to be unchanged, and one more required: two checks, with one for all and the digest.
        let creates = |number| {
            let [a, b, v] = ["a", "b", "v"].map(|kind| name(kind, number));
            waiting(&[("k", Expect::At(Revision(1))), (&a, Expect::Absent)], &[&a, &b, &v], &[])
        };
        assert_eq!(taken(creates), 47);
        // Requirements, with the digest's.
        assert_eq!(
            taken(|number| waiting(&[(&name("r", number), Expect::Absent)], &[&name("v", number)], &[])),
            119
        );
        // With few checks, many changes. Records that are appended count like those that are put.
        let appends = |number| {
            let mut appends = waiting(&[], &[&name("v", number)], &[]);
            appends.transaction.append = vec![vec![1]; 2];
            appends
        };
        assert_eq!(taken(appends), 159);
        // Bytes.
        let large = |number| {
            let mut large = waiting(&[], &[&name("a", number)], &[]);
            large.transaction.put[0].1 = vec![0; 80 * 1024];
            large
        };
        assert_eq!(taken(large), 6);

        let names: Vec<_> = (0..2 * MAX_OPERATIONS).map(|number| name("a", number)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let (put, required) = names.split_at(MAX_OPERATIONS);
        let required: Vec<_> = required.iter().map(|name| (*name, Expect::Absent)).collect();
        assert_eq!(taken(|_| waiting(&required, put, &[])), 1);
    }

    #[test]
    fn a_group_is_waited_for_as_long_as_any_of_its_members() {
        let at = |seconds| std::time::Instant::now() + std::time::Duration::from_secs(seconds);
        let mut group = TxnGroup::default();
        for (name, deadline) in [("a", at(10)), ("b", at(20)), ("c", at(5))] {
            let mut member = waiting(&[], &[name], &[]);
            member.transaction.deadline = Some(deadline);
            group.add(member);
        }
        assert!(group.until().unwrap() > Instant::now() + std::time::Duration::from_secs(15));
        group.add(waiting(&[], &["e"], &[]));
        assert_eq!(group.until(), None);
    }
}

//! The digest, which every store carries on with each commit.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::key;
use crate::domain::Revision;
use crate::store::{
    Changed, CommitError, Digester, Entry, Expect, Key, MAX_OPERATIONS, MAX_RECORD, NextDigest, Store,
    Transaction,
};

/// A test digester: the number of changes, and the XOR of the hashes of all keys and values. It carries on a digest
/// that has counted at least so many changes.
struct Sum(u64);

impl Digester for Sum {
    fn covers(&self, key: &Key) -> bool {
        key.as_bytes().first() == Some(&b't')
    }

    fn carries_on(&self, digest: &[u8]) -> bool {
        decode(digest).is_some_and(|(changes, _)| changes >= self.0)
    }

    fn after(&self, before: &[u8], changed: &[Changed<'_>], _appended: usize) -> Option<NextDigest> {
        let (changes, mut sum) = decode(before).filter(|(changes, _)| *changes >= self.0)?;
        for Changed { key, before, after } in changed {
            sum = before.iter().chain(after).fold(sum, |sum, value| sum ^ hash(key, value));
        }
        Some(NextDigest { record: encode(changes + 1, sum), position: changes + 1 })
    }
}

fn encode(changes: u64, sum: u64) -> Vec<u8> {
    [changes.to_be_bytes(), sum.to_be_bytes()].concat()
}

fn decode(digest: &[u8]) -> Option<(u64, u64)> {
    let (changes, sum) = digest.split_first_chunk()?;
    Some((u64::from_be_bytes(*changes), u64::from_be_bytes(sum.try_into().ok()?)))
}

fn hash(key: &Key, value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

pub(in crate::store) fn digested(transaction: Transaction) -> Transaction {
    digested_after(0, transaction)
}

/// The caller has seen a digest that has counted so many changes.
pub(in crate::store) fn digested_after(changes: u64, transaction: Transaction) -> Transaction {
    Transaction { digester: Some(Arc::new(Sum(changes))), ..transaction }
}

fn put(names: impl Iterator<Item = usize>, value: &[u8]) -> Transaction {
    let put = names.map(|name| (key(&name.to_string()), value.to_vec())).collect();
    digested(Transaction { put, ..Transaction::default() })
}

/// Puts the digest of an empty store.
pub(in crate::store) async fn begin(store: &dyn Store) {
    let put = vec![(Key::digest(), encode(0, 0))];
    store.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
}

/// The number of changes that the digest has counted, once it agrees with the store.
pub(in crate::store) async fn counted(store: &dyn Store) -> u64 {
    let digest = store.get(&Key::digest()).await.unwrap().unwrap();
    let (changes, sum) = decode(&digest.value).unwrap();
    let all = store.scan(&Key::from_bytes(b"t"), None, 10_000).await.unwrap();
    assert_eq!(all.iter().fold(0, |sum, (key, entry)| sum ^ hash(key, &entry.value)), sum);
    changes
}

pub(super) async fn a_digest_is_carried_on_by_commits_of_any_size(store: Arc<dyn Store>) {
    assert!(matches!(store.commit(put(0..1, b"1")).await, Err(CommitError::NoDigest)));
    begin(&*store).await;
    store.commit(put(0..1, b"1")).await.unwrap();

    let made = store.commit(put(0..MAX_OPERATIONS, b"2")).await.unwrap();
    let mut all = put(0..MAX_OPERATIONS, b"3");
    all.require = all.put.iter().map(|(key, _)| (key.clone(), Expect::At(made))).collect();
    store.commit(all.clone()).await.unwrap();
    assert!(matches!(store.commit(all).await, Err(CommitError::Conflict(_))));
    let delete = (0..MAX_OPERATIONS).step_by(2).map(|name| key(&name.to_string())).collect();
    store.commit(digested(Transaction { delete, ..Transaction::default() })).await.unwrap();
    // A commit that changes nothing leaves the digest.
    store.commit(digested(Transaction::default())).await.unwrap();
    assert_eq!(counted(&*store).await, 4);
}

pub(super) async fn a_digest_is_carried_on_by_writers_at_once(store: Arc<dyn Store>) {
    begin(&*store).await;
    let writers: Vec<_> = (0..8_usize)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut made = Vec::new();
                for step in 0..20_usize {
                    // Keys that other writers write too.
                    let names = [(writer + step) % 5, (writer * step) % 7].map(|name| name.to_string());
                    let [a, b] = names.each_ref().map(|name| key(name));
                    let mut transaction = Transaction::default();
                    if step % 4 == 3 {
                        transaction.delete.push(a);
                    } else {
                        transaction.put.push((a.clone(), vec![writer as u8, step as u8]));
                        if a != b {
                            transaction.put.push((b, vec![step as u8]));
                        }
                    }
                    made.push(store.commit(digested(transaction)).await.unwrap());
                }
                made
            })
        })
        .collect();
    let mut made = BTreeSet::new();
    for writer in writers {
        made.extend(writer.await.unwrap());
    }
    // Each change counts once, however many commits it holds.
    assert_eq!(counted(&*store).await, made.len() as u64);
}

pub(super) async fn each_of_many_at_once_is_answered_as_if_it_were_alone(store: Arc<dyn Store>) {
    begin(&*store).await;
    let present = store.commit(put(0..1, b"1")).await.unwrap();
    let many: Vec<_> = (1..=60_usize)
        .map(|number| {
            let mut transaction = put(number..number + 1, b"2");
            transaction.require.push(match number % 10 {
                3 => (key("0"), Expect::Absent),
                5 => (key("0"), Expect::At(Revision(present.0 + 1))),
                _ => (key("0"), Expect::At(present)),
            });
            if number % 10 == 7 {
                transaction.deadline = Some(Instant::now());
            } else if number % 10 == 8 {
                transaction.deadline = Some(Instant::now() + Duration::from_secs(60));
            }
            let store = store.clone();
            tokio::spawn(async move { store.commit(transaction).await })
        })
        .collect();
    for (number, answer) in (1..).zip(many) {
        let key = key(&number.to_string());
        let found = store.get(&key);
        match (number % 10, answer.await.unwrap()) {
            (3 | 5, Err(CommitError::Conflict(at))) => {
                assert!(at >= present && found.await.unwrap().is_none())
            }
            (7, Err(CommitError::TooLate)) => assert!(found.await.unwrap().is_none()),
            (0 | 1 | 2 | 4 | 6 | 8 | 9, Ok(made)) => {
                assert_eq!(found.await.unwrap().unwrap().revision, made);
            }
            (_, answer) => panic!("{number}: {answer:?}"),
        }
    }
    counted(&*store).await;
}

pub(super) async fn appended_records_are_in_the_order_of_their_commits(store: Arc<dyn Store>) {
    begin(&*store).await;
    let writers: Vec<_> = (0..8_u8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut made = Vec::new();
                for step in 0..15_u8 {
                    let mut transaction = put([usize::from(writer)].into_iter(), &[step]);
                    // Between them are commits that append nothing, and some that append several records.
                    let records = (0..step % 3).map(|record| vec![writer, step, record]);
                    transaction.append = records.collect();
                    let appended = transaction.append.clone();
                    let revision = store.commit(transaction).await.unwrap();
                    made.extend(appended.into_iter().map(|record| (revision, record)));
                }
                made
            })
        })
        .collect();
    let mut made = BTreeSet::new();
    for writer in writers {
        made.extend(writer.await.unwrap());
    }
    let found = appended(&*store).await;
    assert!(found.is_sorted_by_key(|(_, entry)| entry.revision));
    let records = found.iter().map(|(_, entry)| (entry.revision, entry.value.clone()));
    assert_eq!(records.collect::<BTreeSet<_>>(), made, "each appended record is there, with its revision");
    // The records of one commit follow each other in their order.
    let mut of_writers = [(); 8].map(|()| Vec::new());
    for (_, entry) in &found {
        of_writers[usize::from(entry.value[0])].push(entry.value.clone());
    }
    for of_writer in of_writers {
        assert!(of_writer.is_sorted());
        assert_eq!(of_writer.len(), 15);
    }
    // The watch has them, too, and a record that was deleted does not come back.
    let mut watch = store.watch(store.durable());
    let mut last = put(0..1, b"last");
    last.append.push(b"last".to_vec());
    last.delete.push(found[0].0.clone());
    let revision = store.commit(last).await.unwrap();
    let change = loop {
        let change = watch.next().await.unwrap();
        if change.revision == revision {
            break change;
        }
    };
    let left = appended(&*store).await;
    assert_eq!(left.len(), found.len());
    let (newest, _) = left.last().unwrap();
    assert!(change.put.iter().any(|(key, value)| key == newest && value == b"last"));
    assert_eq!(newest.appended_position(), Some(counted(&*store).await));
}

pub(super) async fn records_that_cannot_be_appended_change_nothing(store: Arc<dyn Store>) {
    let bare = Transaction { append: vec![vec![1]], ..Transaction::default() };
    assert!(matches!(store.commit(bare.clone()).await, Err(CommitError::NoDigest)));
    begin(&*store).await;
    assert!(matches!(store.commit(bare).await, Err(CommitError::NoDigest)), "nothing gives a position");
    let too_large = Transaction { append: vec![vec![0; MAX_RECORD + 1]], ..put(0..1, b"1") };
    let too_many = Transaction { append: vec![vec![0]; MAX_OPERATIONS], ..put(0..1, b"1") };
    for refused in [too_large, too_many] {
        assert!(matches!(store.commit(refused).await, Err(CommitError::TooLarge)));
    }
    assert_eq!(appended(&*store).await, []);
    assert!(store.get(&key("0")).await.unwrap().is_none());

    let most = Transaction { append: vec![vec![0]; MAX_OPERATIONS], ..Transaction::default() };
    store.commit(digested(most)).await.unwrap();
    assert_eq!(appended(&*store).await.len(), MAX_OPERATIONS);
}

/// The appended records, in the order of their keys.
pub(super) async fn appended(store: &dyn Store) -> Vec<(Key, Entry)> {
    store.scan(&Key::appended(), None, 10_000).await.unwrap()
}

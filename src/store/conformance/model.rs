//! Random transactions of several writers at once, against a model that is replayed from the watch: every success
//! and every conflict must have been right at its revision.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use super::digests::{begin, counted, digested};
use crate::domain::Revision;
#[cfg(feature = "etcd")]
use crate::store::etcd::fixture::open_fresh;
use crate::store::{CommitError, Expect, Key, Store, Transaction, open_memory, open_sled};

#[test]
fn writers_at_once_leave_memory_as_the_model_says() {
    let runtime = Runtime::new().unwrap();
    check(&runtime, &runtime.block_on(async { open_memory() }).unwrap(), Kind::Bare, 64);
}

#[test]
fn writers_at_once_leave_sled_as_the_model_says() {
    let (runtime, folder) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    check(&runtime, &open_sled(folder.path()).unwrap(), Kind::Bare, 16);
}

#[cfg(feature = "etcd")]
#[test]
fn writers_at_once_leave_etcd_as_the_model_says() {
    let runtime = Runtime::new().unwrap();
    let Some(store) = runtime.block_on(open_fresh()) else { return };
    check(&runtime, &store, Kind::Bare, 32);
}

#[test]
fn writers_at_once_that_carry_a_digest_on_leave_sled_as_the_model_says() {
    let (runtime, folder) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    check(&runtime, &open_sled(folder.path()).unwrap(), Kind::Digested, 16);
}

#[cfg(feature = "etcd")]
#[test]
fn writers_at_once_that_carry_a_digest_on_leave_etcd_as_the_model_says() {
    let runtime = Runtime::new().unwrap();
    let Some(store) = runtime.block_on(open_fresh()) else { return };
    check(&runtime, &store, Kind::Digested, 64);
}

/// Whether the transactions rewrite the digest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bare,
    /// They do, and share one revision where they are made together.
    Digested,
}

/// A step of a writer, over a few keys that all writers share.
#[derive(Clone, Debug)]
struct Step {
    require: Vec<(u8, Guess)>,
    /// By key: put it, or remove it.
    change: BTreeMap<u8, bool>,
}

/// A precondition that a writer requires of a key.
#[derive(Clone, Copy, Debug)]
enum Guess {
    /// The revision that it has just read.
    AsRead,
    Absent,
    /// A revision that another key has.
    Wrong,
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let guess = prop_oneof![6 => Just(Guess::AsRead), 1 => Just(Guess::Absent), 1 => Just(Guess::Wrong)];
    let require = prop::collection::vec((0..5u8, guess), 0..3);
    let change = prop::collection::btree_map(0..5u8, prop::bool::weighted(0.7), 0..4);
    let step = (require, change).prop_map(|(require, change)| Step { require, change });
    prop::collection::vec(prop::collection::vec(step, 1..8), 2..6)
}

/// An attempt, its outcome, and the revision that was durable before it.
type Tried = (Revision, Transaction, Result<Revision, CommitError>);

fn check(runtime: &Runtime, store: &Arc<dyn Store>, kind: Kind, cases: u32) {
    if kind == Kind::Digested {
        runtime.block_on(begin(&**store));
    }
    let case = AtomicU32::new(0);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let run = |writers| {
        let place = case.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(one_case(store, kind, place, writers));
        Ok(())
    };
    TestRunner::new(config).run(&steps(), run).unwrap();
    if kind == Kind::Digested {
        runtime.block_on(counted(&**store));
    }
}

async fn one_case(store: &Arc<dyn Store>, kind: Kind, place: u32, writers: Vec<Vec<Step>>) {
    let before = store.revision().await.unwrap();
    let mut watch = store.watch(before);
    let writing: Vec<_> = writers
        .into_iter()
        .enumerate()
        .map(|(writer, steps)| tokio::spawn(write(store.clone(), kind, place, writer, steps)))
        .collect();
    let mut tried = Vec::new();
    for writer in writing {
        tried.extend(writer.await.unwrap());
    }

    // Each success is in exactly one change, and no change holds anything else.
    let changed = |(_, transaction, outcome): &&Tried| outcome.is_ok() && !transaction.changes_nothing();
    let mut made: BTreeMap<Revision, Vec<&Transaction>> = BTreeMap::new();
    for (_, transaction, outcome) in tried.iter().filter(changed) {
        made.entry(*outcome.as_ref().unwrap()).or_default().push(transaction);
    }
    let mut history = BTreeMap::from([(before, BTreeMap::new())]);
    for (revision, transactions) in &made {
        let together = transactions.len();
        assert!(together == 1 || kind == Kind::Digested, "no two commits have one revision");
        let change = watch.next().await.unwrap();
        assert_eq!(change.revision, *revision);
        let mut put: Vec<_> = change.put.iter().filter(|(key, _)| *key != Key::digest()).cloned().collect();
        put.sort();
        let mut all: Vec<_> = transactions.iter().flat_map(|transaction| transaction.put.clone()).collect();
        all.sort();
        assert_eq!(put, all, "a change is whole");
        let deleted: Vec<_> = transactions.iter().flat_map(|transaction| &transaction.delete).collect();
        assert!(change.delete.iter().all(|key| deleted.contains(&key)));
        let mut state = history.last_key_value().unwrap().1.clone();
        for (key, value) in put {
            state.insert(key, (value, *revision));
        }
        for key in &change.delete {
            state.remove(key);
        }
        // No removed key is left.
        assert!(deleted.iter().all(|key| !state.contains_key(key)));
        history.insert(*revision, state);
    }

    let at = |revision: Revision| history.range(..=revision).next_back().unwrap().1;
    for (durable, transaction, outcome) in &tried {
        match outcome {
            Ok(revision) if transaction.changes_nothing() => assert!(holds(transaction, at(*revision))),
            Ok(revision) => assert!(holds(transaction, at(Revision(revision.0 - 1)))),
            Err(CommitError::Conflict(revision)) => {
                let mut states = history.range(..=*revision).rev();
                // Back to the revision known before the attempt.
                let begun = *history.range(..=*durable).next_back().map_or(&before, |(begun, _)| begun);
                let broken = states.by_ref().take_while(|(at, _)| **at >= begun);
                let mut broken = broken.map(|(_, state)| !holds(transaction, state));
                assert!(broken.any(|broken| broken), "a conflict without reason: {transaction:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }

    let found = store.scan(&Key::from_bytes(&prefix(place)), None, 100).await.unwrap();
    let found: BTreeMap<_, _> =
        found.into_iter().map(|(key, entry)| (key, (entry.value, entry.revision))).collect();
    assert_eq!(&found, history.last_key_value().unwrap().1);
}

async fn write(store: Arc<dyn Store>, kind: Kind, place: u32, writer: usize, steps: Vec<Step>) -> Vec<Tried> {
    let key = |number: u8| Key::from_bytes(&[prefix(place).as_slice(), &[number]].concat());
    let mut tried = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        let durable = store.durable();
        let mut transaction = Transaction::default();
        for (required, guess) in step.require {
            let expect = match guess {
                Guess::Absent => Expect::Absent,
                Guess::Wrong => Expect::At(Revision(u64::MAX - 1)),
                Guess::AsRead => {
                    let read = store.get(&key(required)).await.unwrap();
                    read.map_or(Expect::Absent, |entry| Expect::At(entry.revision))
                }
            };
            transaction.require.push((key(required), expect));
        }
        for (changed, put) in step.change {
            if put {
                transaction.put.push((key(changed), format!("{writer} {number}").into_bytes()));
            } else {
                transaction.delete.push(key(changed));
            }
        }
        if kind == Kind::Digested {
            transaction = digested(transaction);
        }
        let outcome = store.commit(transaction.clone()).await;
        tried.push((durable, transaction, outcome));
    }
    tried
}

fn holds(transaction: &Transaction, state: &BTreeMap<Key, (Vec<u8>, Revision)>) -> bool {
    transaction.require.iter().all(|(key, expect)| match expect {
        Expect::Absent => !state.contains_key(key),
        Expect::At(revision) => state.get(key).is_some_and(|(_, at)| at == revision),
    })
}

fn prefix(place: u32) -> [u8; 5] {
    let [a, b, c, d] = place.to_be_bytes();
    [b't', a, b, c, d]
}

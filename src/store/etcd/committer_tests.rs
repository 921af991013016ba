//! Commits that are made together. A test that holds the committer's lock makes all others wait, so that it knows
//! which group they join.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::fixture::{self, fresh, shared};
use super::*;
use crate::store::conformance::digests::{begin, counted, digested, digested_after};
use crate::store::conformance::key;
use crate::store::{Expect, ReplaceRecord};

type Answer = JoinHandle<Result<Revision, CommitError>>;

async fn open(etcd: &fixture::Etcd) -> Arc<EtcdStore> {
    let store = EtcdStore::open(&fresh(etcd)).await.unwrap();
    begin(&store).await;
    Arc::new(store)
}

fn put(name: &str) -> Transaction {
    digested(Transaction { put: vec![(key(name), b"1".to_vec())], ..Transaction::default() })
}

fn requiring(name: &str, expect: Expect, transaction: Transaction) -> Transaction {
    Transaction { require: vec![(key(name), expect)], ..transaction }
}

/// Queues a transaction after those that wait already.
async fn wait(store: &Arc<EtcdStore>, transaction: Transaction) -> Answer {
    let (waiting, of) = (store.committer.waiting(), store.clone());
    let answer = tokio::spawn(async move { of.commit(transaction).await });
    while store.committer.waiting() == waiting {
        tokio::task::yield_now().await;
    }
    answer
}

async fn made(answers: Vec<Answer>) -> BTreeSet<Revision> {
    let mut made = BTreeSet::new();
    for answer in answers {
        made.insert(answer.await.unwrap().unwrap());
    }
    made
}

#[tokio::test]
async fn all_that_wait_are_one_change() {
    let Some(etcd) = shared() else { return };
    let store = open(etcd).await;
    let mut watch = store.watch(store.revision().await.unwrap());
    let turn = store.committer.turn.lock().await;
    let mut answers = Vec::new();
    for number in 0..100 {
        answers.push(wait(&store, put(&number.to_string())).await);
    }
    drop(turn);
    let made = made(answers).await;
    assert_eq!((made.len(), counted(&*store).await), (1, 1));
    let change = watch.next().await.unwrap();
    assert_eq!((change.revision, change.put.len()), (*made.first().unwrap(), 101));
    assert_eq!(store.revision().await.unwrap(), change.revision);
}

#[tokio::test]
async fn many_changes_with_few_preconditions_are_one_change_and_refused_as_one() {
    let Some(etcd) = shared() else { return };
    let store = open(etcd).await;
    let mut watch = store.watch(store.revision().await.unwrap());
    let create = |number: usize| {
        let name = number.to_string();
        let append = vec![b"1".to_vec(); 9];
        requiring(&name, Expect::Absent, Transaction { append, ..put(&name) })
    };
    // The second time, each name is taken.
    for (round, changes) in [(1, 1), (2, 1)] {
        let turn = store.committer.turn.lock().await;
        let mut answers = Vec::new();
        for number in 0..47 {
            answers.push(wait(&store, create(number)).await);
        }
        drop(turn);
        if round == 1 {
            assert_eq!(made(answers).await.len(), 1);
        } else {
            for answer in answers {
                assert!(matches!(answer.await.unwrap(), Err(CommitError::Conflict(_))));
            }
        }
        assert_eq!(counted(&*store).await, changes);
    }
    let change = watch.next().await.unwrap();
    assert_eq!(change.put.len(), 47 * 10 + 1);
    assert_eq!(store.revision().await.unwrap(), change.revision);
    for index in 0..47 * 9 {
        let appended = store.get(&Key::appended_at(1, index)).await.unwrap().unwrap();
        assert_eq!(appended.revision, change.revision);
    }
}

#[tokio::test]
async fn more_than_etcd_takes_at_once_is_made_in_turns() {
    let Some(etcd) = shared() else { return };
    let store = open(etcd).await;
    let present = store.commit(put("there")).await.unwrap();
    let turn = store.committer.turn.lock().await;
    let mut answers = Vec::new();
    for number in 0..240 {
        let transaction = requiring("there", Expect::At(present), put(&number.to_string()));
        answers.push(wait(&store, transaction).await);
    }
    drop(turn);
    // 118 keys are to be unchanged, one is required, and the digest.
    assert_eq!((made(answers).await.len(), counted(&*store).await), (3, 4));
}

#[tokio::test]
async fn what_does_not_hold_is_refused_alone() {
    let Some(etcd) = shared() else { return };
    let store = open(etcd).await;
    let present = store.commit(put("there")).await.unwrap();
    let turn = store.committer.turn.lock().await;
    let (mut answers, mut refused) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let transaction = put(&number.to_string());
        if number % 5 == 0 {
            // Each has a precondition on another key, so that they join one group.
            let never = Expect::At(Revision(present.0 + 7));
            let transaction = requiring(&format!("never {number}"), never, transaction);
            refused.push(wait(&store, transaction).await);
        } else {
            let transaction = requiring("there", Expect::At(present), transaction);
            answers.push(wait(&store, transaction).await);
        }
    }
    drop(turn);
    assert_eq!((made(answers).await.len(), counted(&*store).await), (1, 2));
    for (number, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused.await.unwrap(), Err(CommitError::Conflict(at)) if at == present));
        assert!(store.get(&key(&(5 * number).to_string())).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn what_depends_on_another_is_made_after_it() {
    let Some(etcd) = shared() else { return };
    let store = open(etcd).await;
    let turn = store.committer.turn.lock().await;
    let first = wait(&store, requiring("a", Expect::Absent, put("a"))).await;
    let again = wait(&store, requiring("a", Expect::Absent, put("a"))).await;
    let dependent = wait(&store, requiring("a", Expect::Absent, put("b"))).await;
    let overwrites = wait(&store, put("a")).await;
    let apart = wait(&store, put("c")).await;
    drop(turn);
    let first = first.await.unwrap().unwrap();
    assert_eq!(apart.await.unwrap().unwrap(), first);
    for refused in [again, dependent] {
        // It is refused at a state that has the first one.
        assert!(matches!(refused.await.unwrap(), Err(CommitError::Conflict(at)) if at >= first));
    }
    let last = overwrites.await.unwrap().unwrap();
    assert!(last > first);
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, last);
    assert!(store.get(&key("b")).await.unwrap().is_none());
    assert_eq!(counted(&*store).await, 2);
}

#[tokio::test]
async fn a_transaction_that_is_too_late_or_abandoned_delays_no_other() {
    let Some(etcd) = shared() else { return };
    let store = open(etcd).await;
    let turn = store.committer.turn.lock().await;
    // Their tasks would have made the other transactions.
    let gone = wait(&store, put("gone")).await;
    let deadline = Some(Instant::now() + Duration::from_millis(50));
    let late = wait(&store, Transaction { deadline, ..put("late") }).await;
    let others = vec![wait(&store, put("a")).await, wait(&store, put("b")).await];
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    // Answered at its deadline, and not when its turn would come.
    assert!(matches!(late.await.unwrap(), Err(CommitError::TooLate)));
    drop(turn);
    assert_eq!(made(others).await.len(), 1);
    for name in ["gone", "late"] {
        assert!(store.get(&key(name)).await.unwrap().is_none());
    }
    assert_eq!(counted(&*store).await, 1);
}

#[tokio::test]
async fn replicas_that_make_groups_at_once_keep_one_digest() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let one = Arc::new(EtcdStore::open(&settings).await.unwrap());
    let other = Arc::new(EtcdStore::open(&settings).await.unwrap());
    begin(&*one).await;
    let mut all = BTreeSet::new();
    for round in 0..5 {
        let turns = (one.committer.turn.lock().await, other.committer.turn.lock().await);
        let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
        for number in 0..20 {
            of_one.push(wait(&one, put(&format!("one {number}"))).await);
            of_other.push(wait(&other, put(&format!("other {}", number + round))).await);
        }
        drop(turns);
        let (of_one, of_other) = (made(of_one).await, made(of_other).await);
        assert_eq!((of_one.len(), of_other.len()), (1, 1));
        all.extend(of_one.into_iter().chain(of_other));
    }
    assert_eq!((all.len(), counted(&*other).await), (10, 10));
}

#[tokio::test]
async fn a_digest_that_another_replica_carried_on_is_read_again() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let one = Arc::new(EtcdStore::open(&settings).await.unwrap());
    let other = EtcdStore::open(&settings).await.unwrap();
    begin(&*one).await;
    let fresh = |name| requiring(name, Expect::Absent, put(name));
    one.commit(fresh("a")).await.unwrap(); // from here on the digest is known, and nothing has to be read first
    let newest = other.commit(fresh("b")).await.unwrap();
    // A replica that has seen the other's commit carries on no digest from before it.
    one.commit(digested_after(2, fresh("c"))).await.unwrap();
    other.commit(fresh("d")).await.unwrap();
    let turn = one.committer.turn.lock().await;
    let together = vec![
        wait(&one, fresh("e")).await,
        wait(&one, digested_after(4, fresh("f"))).await,
        wait(&one, requiring("b", Expect::At(newest), put("g"))).await,
    ];
    let never = wait(&one, digested_after(99, fresh("h"))).await;
    drop(turn);
    assert_eq!(made(together).await.len(), 1);
    assert!(matches!(never.await.unwrap(), Err(CommitError::NoDigest)));
    assert_eq!(counted(&*one).await, 5);
}

#[tokio::test]
async fn what_waits_while_the_store_is_replaced_is_refused() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let store = Arc::new(EtcdStore::open(&settings).await.unwrap());
    let other = EtcdStore::open(&settings).await.unwrap();
    begin(&*store).await;
    let present = store.commit(put("there")).await.unwrap();
    let digest = store.get(&Key::digest()).await.unwrap().unwrap().value;
    let turn = store.committer.turn.lock().await;
    let mut waiting = Vec::new();
    for name in ["a", "b", "c"] {
        waiting.push(wait(&store, requiring("there", Expect::At(present), put(name))).await);
    }
    let records = [(key("there"), b"1".to_vec()), (Key::digest(), digest)];
    let records = Box::new(records.map(|(key, value)| Ok(ReplaceRecord::Put(key, value))).into_iter());
    let replaced = other.replace(records, present).await.unwrap();
    drop(turn);
    for refused in waiting {
        let refused = refused.await.unwrap();
        assert!(matches!(refused, Err(CommitError::Conflict(at)) if at == replaced), "{refused:?}");
    }
    store.commit(put("a")).await.unwrap();
    assert_eq!(counted(&*store).await, 2);
}

#[tokio::test]
async fn where_the_answer_is_lost_nobody_is_told_that_it_was_made_or_not() {
    let Some(etcd) = fixture::Etcd::start() else { return };
    let store = open(&etcd).await;
    let fresh = |name| requiring(name, Expect::Absent, put(name));
    store.commit(fresh("there")).await.unwrap(); // from here on the digest is known, and nothing has to be read first
    let turn = store.committer.turn.lock().await;
    let deadline = Some(Instant::now() + Duration::from_secs(60));
    let mut waiting = Vec::new();
    for name in ["a", "b", "c"] {
        waiting.push(wait(&store, Transaction { deadline, ..fresh(name) }).await);
    }
    etcd.signal("STOP");
    drop(turn);
    let hurried = Transaction { deadline: Some(Instant::now() + Duration::from_millis(300)), ..put("d") };
    assert!(store.commit(hurried).await.is_err());
    for unknown in waiting {
        let unknown = tokio::time::timeout(Duration::from_secs(10), unknown).await.unwrap();
        assert!(matches!(unknown.unwrap(), Err(CommitError::Unavailable(_))));
    }
    etcd.signal("CONT");
    let served = async { while store.ping().await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap();
    store.commit(put("e")).await.unwrap();
    counted(&*store).await;
    // All of them, or none.
    let made = store.scan(&key(""), None, 9).await.unwrap();
    let made = made.iter().filter(|(found, _)| ["a", "b", "c"].map(key).contains(found)).count();
    assert!(made == 0 || made == 3, "{made}");
    store.close().await;
    assert!(matches!(store.commit(put("f")).await, Err(CommitError::Unavailable(_))));
}

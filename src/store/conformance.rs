//! What every store must do, run over each of them.

use std::sync::Arc;

use super::{CommitError, Expect, Key, Store, Transaction, open_memory, open_sled};
use crate::domain::Revision;

/// Runs a check over every store.
macro_rules! over_every_store {
    ($($check:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $check() {
            checks::$check(open_memory().unwrap()).await;
            let folder = tempfile::tempdir().unwrap();
            checks::$check(open_sled(folder.path()).unwrap()).await;
        }
    )*};
}

over_every_store!(
    a_commit_is_read_back_with_its_revision,
    a_broken_precondition_changes_nothing,
    one_of_many_racing_commits_wins,
    a_scan_pages_through_a_prefix_in_order,
    a_watch_sees_every_change_once_and_in_order,
    a_record_too_large_changes_nothing,
    a_closed_store_refuses,
);

fn key(name: &str) -> Key {
    Key::from_bytes(format!("t{name}").as_bytes())
}

fn put(name: &str, value: &[u8]) -> Transaction {
    Transaction { put: vec![(key(name), value.to_vec())], ..Transaction::default() }
}

mod checks {
    use super::*;

    pub(super) async fn a_commit_is_read_back_with_its_revision(store: Arc<dyn Store>) {
        let first = store.commit(put("a", b"1")).await.unwrap();
        let second = store.commit(put("b", b"2")).await.unwrap();
        assert_eq!(second, first.next());
        let entry = store.get(&key("a")).await.unwrap().unwrap();
        assert_eq!((entry.value.as_slice(), entry.revision), (&b"1"[..], first));
        assert_eq!(store.durable(), second);

        let gone = Transaction { delete: vec![key("a")], ..Transaction::default() };
        store.commit(gone).await.unwrap();
        assert!(store.get(&key("a")).await.unwrap().is_none());
    }

    pub(super) async fn a_broken_precondition_changes_nothing(store: Arc<dyn Store>) {
        let there = store.commit(put("a", b"1")).await.unwrap();
        for expect in [Expect::Absent, Expect::At(Revision(there.0 + 7))] {
            let mut refused = put("a", b"2");
            refused.put.push((key("other"), b"3".to_vec()));
            refused.require.push((key("a"), expect));
            assert!(matches!(store.commit(refused).await, Err(CommitError::Conflict(_))));
        }
        assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, b"1");
        assert!(store.get(&key("other")).await.unwrap().is_none());
        assert_eq!(store.durable(), there);
    }

    pub(super) async fn one_of_many_racing_commits_wins(store: Arc<dyn Store>) {
        let racing = (0..64u8).map(|racer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut transaction = put("a", &[racer]);
                transaction.require.push((key("a"), Expect::Absent));
                store.commit(transaction).await.is_ok().then_some(racer)
            })
        });
        let mut winners = Vec::new();
        for racer in racing.collect::<Vec<_>>() {
            winners.extend(racer.await.unwrap());
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, winners);
    }

    pub(super) async fn a_scan_pages_through_a_prefix_in_order(store: Arc<dyn Store>) {
        for name in ["b3", "a", "b1", "c", "b2"] {
            store.commit(put(name, name.as_bytes())).await.unwrap();
        }
        let page = store.scan(&key("b"), None, 2).await.unwrap();
        let names: Vec<_> = page.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(names, [key("b1"), key("b2")]);
        let rest = store.scan(&key("b"), Some(&key("b2")), 2).await.unwrap();
        assert_eq!(rest.len(), 1);
        assert_eq!((&rest[0].0, rest[0].1.value.as_slice()), (&key("b3"), &b"b3"[..]));
    }

    pub(super) async fn a_watch_sees_every_change_once_and_in_order(store: Arc<dyn Store>) {
        let before = store.durable();
        let mut watch = store.watch(before);
        let racing = (0..100u8).map(|racer| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(put("a", &[racer])).await.unwrap() })
        });
        for racer in racing.collect::<Vec<_>>() {
            racer.await.unwrap();
        }
        let mut later = store.watch(Revision(before.0 + 50));
        for passed in 1..=100 {
            let change = watch.next().await.unwrap();
            assert_eq!(change.revision, Revision(before.0 + passed));
            if passed > 50 {
                assert_eq!(later.next().await.unwrap().revision, change.revision);
            }
        }
    }

    pub(super) async fn a_record_too_large_changes_nothing(store: Arc<dyn Store>) {
        let mut refused = put("a", &vec![0; super::super::MAX_RECORD + 1]);
        refused.put.push((key("b"), Vec::new()));
        assert!(matches!(store.commit(refused).await, Err(CommitError::TooLarge)));
        assert!(store.get(&key("b")).await.unwrap().is_none());
    }

    pub(super) async fn a_closed_store_refuses(store: Arc<dyn Store>) {
        store.ping().await.unwrap();
        store.close().await;
        assert!(store.ping().await.is_err());
        assert!(matches!(store.commit(put("a", b"1")).await, Err(CommitError::Unavailable(_))));
    }
}

#[tokio::test]
async fn a_reopened_sled_store_has_everything_and_goes_on_counting() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_sled(folder.path()).unwrap();
    let last = store.commit(put("a", b"1")).await.unwrap();
    store.close().await;
    drop(store);

    let store = open_sled(folder.path()).unwrap();
    assert_eq!(store.durable(), last);
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, b"1");
    assert_eq!(store.commit(put("a", b"2")).await.unwrap(), last.next());
}

#[tokio::test]
async fn a_sled_store_that_came_back_empty_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_sled(folder.path()).unwrap();
    store.close().await;
    drop(store);
    std::fs::remove_dir_all(folder.path().join("store")).unwrap();

    let refused = open_sled(folder.path()).err().unwrap().to_string();
    assert!(refused.contains("came back empty"), "{refused}");
}

#[tokio::test]
async fn a_second_sled_store_on_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open_sled(folder.path()).unwrap();
    let refused = open_sled(folder.path()).err().unwrap().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
}

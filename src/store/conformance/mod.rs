//! The behaviour that every store must have, checked on each of them.

mod checks;
pub(super) mod digests;
mod model;

#[cfg(feature = "etcd")]
use super::etcd::fixture::open_fresh;
use super::{Key, Transaction, open_memory, open_sled};

/// Runs each check over each store.
macro_rules! over_every_store {
    ($($of:ident::$check:ident),* $(,)?) => {
        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $check() {
                $of::$check(open_memory().unwrap()).await;
            })*
        }

        mod sled {
            use super::*;
            $(#[tokio::test]
            async fn $check() {
                let folder = tempfile::tempdir().unwrap();
                $of::$check(open_sled(folder.path()).unwrap()).await;
            })*
        }

        #[cfg(feature = "etcd")]
        mod etcd {
            use super::*;
            $(#[tokio::test]
            async fn $check() {
                let Some(store) = open_fresh().await else { return };
                $of::$check(store).await;
            })*
        }
    };
}

over_every_store!(
    checks::a_commit_is_read_back_with_its_revision,
    checks::a_broken_precondition_changes_nothing,
    checks::one_of_many_racing_commits_wins,
    checks::a_scan_pages_through_a_prefix_in_order,
    checks::a_scan_of_everything_shows_what_was_put_and_nothing_else,
    checks::a_watch_sees_every_change_once_and_in_order,
    checks::a_watch_begins_at_any_revision_while_others_write,
    checks::a_watch_that_is_too_far_behind_is_told_so,
    checks::a_transaction_too_large_changes_nothing,
    checks::a_transaction_after_its_deadline_changes_nothing,
    checks::a_store_is_new_until_the_first_commit,
    checks::a_replaced_store_has_the_records_and_nothing_else,
    checks::records_that_can_not_be_read_replace_nothing,
    checks::a_closed_store_refuses,
    digests::a_digest_is_carried_on_by_commits_of_any_size,
    digests::a_digest_is_carried_on_by_writers_at_once,
    digests::each_of_many_at_once_is_answered_as_if_it_were_alone,
    digests::appended_records_are_in_the_order_of_their_commits,
    digests::records_that_cannot_be_appended_change_nothing,
);

pub(super) fn key(name: &str) -> Key {
    Key::from_bytes(format!("t{name}").as_bytes())
}

fn put(name: &str, value: &[u8]) -> Transaction {
    Transaction { put: vec![(key(name), value.to_vec())], ..Transaction::default() }
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
async fn a_reopened_sled_store_appends_behind_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let append =
        |record: &[u8]| digests::digested(Transaction { append: vec![record.to_vec()], ..put("a", record) });
    let store = open_sled(folder.path()).unwrap();
    digests::begin(&*store).await;
    store.commit(append(b"1")).await.unwrap();
    store.close().await;
    drop(store);

    let store = open_sled(folder.path()).unwrap();
    store.commit(append(b"2")).await.unwrap();
    let records: Vec<_> =
        digests::appended(&*store).await.into_iter().map(|(_, entry)| entry.value).collect();
    assert_eq!(records, [b"1", b"2"]);
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

//! The embedded store on a failing disk, over each engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fault::{Faults, open_faulty_memory, open_faulty_sled};
use crate::domain::Revision;
use crate::store::{CommitError, Key, ReplaceError, ReplaceRecord, Store, Transaction, WatchEnd};

macro_rules! over_every_engine {
    ($($check:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            let (store, faults) = open_faulty_memory();
            checks::$check(store, faults).await;
            let folder = tempfile::tempdir().unwrap();
            let (store, faults) = open_faulty_sled(folder.path());
            checks::$check(store, faults).await;
        }
    )*};
}

over_every_engine!(
    a_write_that_fails_changes_nothing_and_the_store_recovers,
    a_sync_that_fails_leaves_its_change_whole_or_absent,
    a_disk_that_takes_no_writes_is_still_read,
    a_disk_that_can_not_be_read_says_so,
    a_store_that_breaks_at_a_read_recovers_though_no_change_gets_as_far_as_a_write,
    a_disk_that_lost_what_was_acknowledged_serves_nothing_more,
    a_deadline_that_passes_in_the_queue_changes_nothing,
    a_full_queue_makes_callers_wait_up_to_their_deadline,
    a_replacement_that_fails_leaves_what_was_there,
);

fn key(name: &str) -> Key {
    Key::from_bytes(format!("t{name}").as_bytes())
}

fn put(name: &str) -> Transaction {
    Transaction { put: vec![(key(name), name.as_bytes().to_vec())], ..Transaction::default() }
}

/// Pings until the store serves. Each ping may try to open it again, at most twice a second.
async fn recovered(store: &dyn Store) {
    while store.ping().await.is_err() {
        tokio::task::yield_now().await;
    }
}

async fn has(store: &dyn Store, name: &str) -> bool {
    store.get(&key(name)).await.unwrap().is_some()
}

async fn refused(store: &dyn Store, name: &str) {
    let outcome = store.commit(put(name)).await;
    assert!(matches!(outcome, Err(CommitError::Unavailable(_))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_pass_over_what_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (store, faults) = open_faulty_sled(folder.path());
    store.commit(put("kept")).await.unwrap();
    faults.lose_synced();
    store.commit(put("gone")).await.unwrap();
    faults.fail_apply_after(0);
    refused(&*store, "lost").await;
    faults.end();
    while !store.ping().await.unwrap_err().to_string().contains("acknowledged") {
        tokio::task::yield_now().await;
    }
    store.close().await;
    drop(store);

    let told = super::open_sled(folder.path()).err().unwrap().to_string();
    assert!(told.contains("acknowledged") && told.contains("store.lost"), "{told}");
    std::fs::remove_file(folder.path().join("store.lost")).unwrap();
    assert!(has(&*super::open_sled(folder.path()).unwrap(), "kept").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_breaks_while_its_replacement_is_made_keeps_both() {
    let folder = tempfile::tempdir().unwrap();
    let (store, faults) = open_faulty_sled(folder.path());
    store.commit(put("kept")).await.unwrap();
    // While the records are read, a commit fails and the store is opened again. The replacement goes on.
    let (breaking, building) = (store.clone(), faults.clone());
    let runtime = tokio::runtime::Handle::current();
    let records = (0..3).map(move |n| {
        if n == 1 {
            building.fail_apply_after(0);
            runtime.block_on(refused(&*breaking, "lost"));
            building.end();
            runtime.block_on(recovered(&*breaking));
            assert!(runtime.block_on(has(&*breaking, "kept")));
        }
        Ok(ReplaceRecord::Put(key(&format!("new{n}")), b"v".to_vec()))
    });
    store.replace(Box::new(records), Revision::default()).await.unwrap();
    assert!(!has(&*store, "kept").await && has(&*store, "new2").await);
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["store", "store.marker"]);
}

#[tokio::test]
async fn a_disk_that_does_not_answer_holds_up_the_end_for_a_while_only() {
    let (store, faults) = open_faulty_memory();
    faults.hold_syncs();
    let hangs = tokio::spawn({
        let store = store.clone();
        async move { store.commit(put("hangs")).await }
    });
    let held = faults.clone();
    tokio::task::spawn_blocking(move || held.begun(1)).await.unwrap();
    tokio::time::pause(); // where all wait, time goes on by itself
    store.close().await;
    refused(&*store, "late").await;
    assert!(!hangs.is_finished());
    faults.end();
    hangs.await.unwrap().unwrap();
}

mod checks {
    use super::*;

    pub(super) async fn a_write_that_fails_changes_nothing_and_the_store_recovers(
        store: Arc<dyn Store>,
        faults: Arc<Faults>,
    ) {
        store.commit(put("kept")).await.unwrap();
        for fails_after in 0..3 {
            faults.fail_apply_after(fails_after);
            for n in 0..fails_after {
                store.commit(put(&format!("{fails_after}_{n}"))).await.unwrap();
            }
            let before = store.durable();
            let mut watch = store.watch(before);
            refused(&*store, "lost").await;
            assert_eq!(store.durable(), before, "nothing that failed is published");
            assert!(store.ping().await.is_err());
            faults.end();
            recovered(&*store).await;
            assert!(has(&*store, "kept").await && !has(&*store, "lost").await);
            // Reads may have shown the failed change at the next revision, so that revision is not given out again.
            assert!(store.durable() > before.next());
            assert_eq!(watch.next().await.unwrap_err(), WatchEnd::Compacted);
            let mut watch = store.watch(store.durable());
            let next = store.commit(put("next")).await.unwrap();
            assert_eq!(watch.next().await.unwrap().revision, next);
        }
    }

    pub(super) async fn a_sync_that_fails_leaves_its_change_whole_or_absent(
        store: Arc<dyn Store>,
        faults: Arc<Faults>,
    ) {
        let before = store.commit(put("kept")).await.unwrap();
        let mut watch = store.watch(before);
        faults.fail_sync_after(0);
        refused(&*store, "absent").await;
        faults.end();
        recovered(&*store).await;
        assert!(has(&*store, "kept").await && !has(&*store, "absent").await);
        assert_eq!(watch.next().await.unwrap_err(), WatchEnd::Compacted);

        let before = store.durable();
        let mut watch = store.watch(before);
        faults.fail_sync_after(0);
        faults.keep_unsynced();
        refused(&*store, "whole").await;
        assert_eq!(store.durable(), before, "it is not shown before it is known to be durable");
        faults.fail_sync_after(usize::MAX);
        recovered(&*store).await;
        assert!(has(&*store, "whole").await);
        assert!(store.durable() > before.next());
        assert_eq!(store.revision().await.unwrap(), store.durable());
        // Nobody knows how that came to be, so watchers read the store again.
        assert_eq!(watch.next().await.unwrap_err(), WatchEnd::Compacted);
        faults.end();
        let next = store.commit(put("next")).await.unwrap();
        assert_eq!(store.watch(Revision(next.0 - 1)).next().await.unwrap().revision, next);
    }

    pub(super) async fn a_disk_that_takes_no_writes_is_still_read(
        store: Arc<dyn Store>,
        faults: Arc<Faults>,
    ) {
        store.commit(put("kept")).await.unwrap();
        faults.refuse_writes();
        refused(&*store, "lost").await;
        for _ in 0..3 {
            assert!(store.ping().await.is_err());
            assert!(has(&*store, "kept").await);
        }
        faults.end();
        recovered(&*store).await;
        store.commit(put("next")).await.unwrap();
        assert!(has(&*store, "kept").await && has(&*store, "next").await && !has(&*store, "lost").await);
    }

    pub(super) async fn a_disk_that_can_not_be_read_says_so(store: Arc<dyn Store>, faults: Arc<Faults>) {
        store.commit(put("kept")).await.unwrap();
        faults.refuse_reads();
        assert!(store.get(&key("kept")).await.is_err());
        let mut conditional = put("lost");
        conditional.require.push((key("kept"), crate::store::Expect::Absent));
        assert!(matches!(store.commit(conditional).await, Err(CommitError::Unavailable(_))));
        faults.end();
        assert!(has(&*store, "kept").await && !has(&*store, "lost").await);
    }

    pub(super) async fn a_store_that_breaks_at_a_read_recovers_though_no_change_gets_as_far_as_a_write(
        store: Arc<dyn Store>,
        faults: Arc<Faults>,
    ) {
        store.commit(put("kept")).await.unwrap();
        let conditional = || {
            let mut conditional = put("lost");
            conditional.require.push((key("kept"), crate::store::Expect::Absent));
            conditional
        };
        // The read is a caller's, or one that a change needs.
        for by_a_change in [false, true] {
            faults.break_at_reads();
            faults.refuse_writes();
            if by_a_change {
                let refused = store.commit(conditional()).await;
                assert!(matches!(refused, Err(CommitError::Unavailable(_))), "{refused:?}");
            } else {
                assert!(store.get(&key("kept")).await.is_err());
            }
            assert!(store.ping().await.is_err());
            refused(&*store, "lost").await;
            faults.end();
            recovered(&*store).await;
            assert!(has(&*store, "kept").await && !has(&*store, "lost").await);
            store.commit(put("next")).await.unwrap();
        }
    }

    pub(super) async fn a_disk_that_lost_what_was_acknowledged_serves_nothing_more(
        store: Arc<dyn Store>,
        faults: Arc<Faults>,
    ) {
        store.commit(put("kept")).await.unwrap();
        faults.lose_synced();
        let lied = store.commit(put("gone")).await.unwrap();
        faults.fail_apply_after(0);
        refused(&*store, "lost").await;
        faults.end();
        let told = loop {
            let why = store.ping().await.unwrap_err().to_string();
            if why.contains("acknowledged") {
                break why;
            }
            tokio::task::yield_now().await;
        };
        assert!(told.contains(&lied.to_string()) && told.contains("restore a backup"), "{told}");
        assert!(store.get(&key("kept")).await.is_err(), "what is left may be anything");
        refused(&*store, "more").await;

        // The remedy that the message names helps.
        let restored = Box::new([Ok(ReplaceRecord::Put(key("restored"), b"v".to_vec()))].into_iter());
        let revision = store.replace(restored, Revision::default()).await.unwrap();
        assert!(revision > lied && has(&*store, "restored").await && !has(&*store, "kept").await);
        store.commit(put("next")).await.unwrap();
    }

    pub(super) async fn a_deadline_that_passes_in_the_queue_changes_nothing(
        store: Arc<dyn Store>,
        faults: Arc<Faults>,
    ) {
        let passed = Transaction { deadline: Some(Instant::now()), ..put("late") };
        assert!(matches!(store.commit(passed).await, Err(CommitError::TooLate)));

        faults.hold_syncs();
        let first = tokio::spawn({
            let store = store.clone();
            async move { store.commit(put("first")).await }
        });
        let held = faults.clone();
        tokio::task::spawn_blocking(move || held.begun(1)).await.unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        let behind = tokio::spawn({
            let store = store.clone();
            async move { store.commit(Transaction { deadline: Some(soon), ..put("late") }).await }
        });
        tokio::time::sleep_until((soon + Duration::from_millis(1)).into()).await;
        faults.end();
        first.await.unwrap().unwrap();
        assert!(matches!(behind.await.unwrap(), Err(CommitError::TooLate)));
        assert!(has(&*store, "first").await && !has(&*store, "late").await);
        let ample = Some(Instant::now() + Duration::from_secs(60));
        store.commit(Transaction { deadline: ample, ..put("in time") }).await.unwrap();
    }

    pub(super) async fn a_full_queue_makes_callers_wait_up_to_their_deadline(
        store: Arc<dyn Store>,
        faults: Arc<Faults>,
    ) {
        faults.hold_syncs();
        // One batch of at most 512 is held, and the queue behind it takes 1,024.
        let came = Arc::new(AtomicUsize::new(0));
        let many: Vec<_> = (0..2000)
            .map(|n| {
                let (store, came) = (store.clone(), came.clone());
                tokio::spawn(async move {
                    came.fetch_add(1, Ordering::SeqCst);
                    store.commit(put(&format!("n{n}"))).await
                })
            })
            .collect();
        while came.load(Ordering::SeqCst) < 2000 {
            tokio::task::yield_now().await;
        }
        // A caller that finds no place waits, but not for ever.
        let soon = Some(Instant::now() + Duration::from_millis(50));
        let late = store.commit(Transaction { deadline: soon, ..put("late") }).await;
        assert!(matches!(late, Err(CommitError::TooLate)), "{late:?}");
        faults.end();
        for one in many {
            one.await.unwrap().unwrap();
        }
        assert!(has(&*store, "n1999").await && !has(&*store, "late").await);
    }

    pub(super) async fn a_replacement_that_fails_leaves_what_was_there(
        store: Arc<dyn Store>,
        faults: Arc<Faults>,
    ) {
        store.commit(put("kept")).await.unwrap();
        faults.refuse_writes();
        let records = || Box::new([Ok(ReplaceRecord::Put(key("new"), b"new".to_vec()))].into_iter());
        let failed = store.replace(records(), Revision::default()).await;
        assert!(matches!(failed, Err(ReplaceError::Unavailable(_))), "{failed:?}");
        faults.end();
        recovered(&*store).await;
        assert!(has(&*store, "kept").await && !has(&*store, "new").await);
        store.replace(records(), Revision::default()).await.unwrap();
        assert!(!has(&*store, "kept").await && has(&*store, "new").await);
    }
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::{key, put};
use crate::domain::Revision;
use crate::store::{
    CommitError, Expect, Key, MAX_OPERATIONS, MAX_RECORD, ReplaceError, ReplaceRecord, ReplaceRecords, Store,
    Transaction, Unreadable, WatchEnd,
};

pub(super) async fn a_commit_is_read_back_with_its_revision(store: Arc<dyn Store>) {
    let first = store.commit(put("a", b"1")).await.unwrap();
    let second = store.commit(put("b", b"2")).await.unwrap();
    assert!(second > first);
    let entry = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((entry.value.as_slice(), entry.revision), (&b"1"[..], first));
    assert_eq!(store.revision().await.unwrap(), second);
    assert_eq!(store.watch(first).next().await.unwrap().revision, second);
    assert_eq!(store.durable(), second);

    let asked = Transaction { require: vec![(key("a"), Expect::At(first))], ..Transaction::default() };
    assert_eq!(store.commit(asked).await.unwrap(), second);
    let gone = Transaction { delete: vec![key("a"), key("never there")], ..Transaction::default() };
    assert!(store.commit(gone).await.unwrap() > second);
    assert!(store.get(&key("a")).await.unwrap().is_none());
}

pub(super) async fn a_broken_precondition_changes_nothing(store: Arc<dyn Store>) {
    let present = store.commit(put("a", b"1")).await.unwrap();
    for expect in [Expect::Absent, Expect::At(Revision(present.0 + 7)), Expect::At(Revision(u64::MAX))] {
        let mut refused = put("a", b"2");
        refused.put.push((key("other"), b"3".to_vec()));
        refused.require.push((key("a"), expect));
        assert!(matches!(store.commit(refused).await, Err(CommitError::Conflict(at)) if at == present));
        let asked = Transaction { require: vec![(key("a"), expect)], ..Transaction::default() };
        assert!(matches!(store.commit(asked).await, Err(CommitError::Conflict(at)) if at == present));
    }
    // No revision put an absent entry.
    let mut absent = put("other", b"3");
    absent.require.push((key("absent"), Expect::At(Revision(0))));
    assert!(matches!(store.commit(absent).await, Err(CommitError::Conflict(at)) if at == present));
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, b"1");
    assert!(store.get(&key("other")).await.unwrap().is_none());
    assert_eq!(store.revision().await.unwrap(), present);
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
    // After an absent key, after the last key, and after a key before all keys with the prefix.
    assert_eq!(store.scan(&key("b"), Some(&key("b22")), 9).await.unwrap(), rest);
    assert_eq!(store.scan(&key("b"), Some(&key("b3")), 9).await.unwrap(), []);
    assert_eq!(store.scan(&key("b"), Some(&key("a")), 9).await.unwrap().len(), 3);
    assert_eq!(store.scan(&key("b"), None, 0).await.unwrap(), []);
    // A key that is its own prefix is found once.
    assert_eq!(store.scan(&key("b2"), None, 9).await.unwrap().len(), 1);
    assert_eq!(store.scan(&key("b2"), Some(&key("b2")), 9).await.unwrap(), []);
}

pub(super) async fn a_scan_of_everything_shows_what_was_put_and_nothing_else(store: Arc<dyn Store>) {
    let keys: Vec<_> = [&[1][..], &[1, 255], &[255], &[255, 255], b"t"].map(Key::from_bytes).into();
    let all: BTreeSet<_> = keys.iter().cloned().collect();
    let put = keys.into_iter().map(|key| (key, Vec::new())).collect();
    store.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
    let everything = Key::from_bytes(&[]);
    let mut found: Vec<Key> = Vec::new();
    loop {
        let page = store.scan(&everything, found.last(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|(key, _)| key));
    }
    assert_eq!(found, Vec::from_iter(all));
    let last = store.scan(&Key::from_bytes(&[255]), None, 9).await.unwrap();
    assert_eq!(last.len(), 2);
}

pub(super) async fn a_watch_sees_every_change_once_and_in_order(store: Arc<dyn Store>) {
    let before = store.durable();
    let mut watch = store.watch(before);
    let mut revisions = write(&store, 10, 10).await;
    revisions.sort();
    for revision in revisions {
        let change = watch.next().await.unwrap();
        assert_eq!(change.revision, revision);
        assert_eq!((change.put.len(), change.delete.len()), (2, 0));
        assert_eq!(change.put[0].1, change.put[1].1, "a change is whole");
    }
    let gone = Transaction { delete: vec![key("0a"), key("1b")], ..put("last", b"1") };
    let revision = store.commit(gone).await.unwrap();
    let change = watch.next().await.unwrap();
    assert_eq!((change.revision, change.put.len()), (revision, 1));
    assert_eq!(BTreeSet::from_iter(change.delete.iter().cloned()), BTreeSet::from([key("0a"), key("1b")]));
}

pub(super) async fn a_watch_begins_at_any_revision_while_others_write(store: Arc<dyn Store>) {
    let before = store.durable();
    let writing = {
        let store = store.clone();
        tokio::spawn(async move { write(&store, 8, 25).await })
    };
    // Watches from each revision.
    let mut watch = store.watch(before);
    let mut seen = Vec::new();
    for _ in 0..8 * 25 {
        let change = watch.next().await.unwrap();
        watch = store.watch(change.revision);
        seen.push(change.revision);
    }
    let mut revisions = writing.await.unwrap();
    revisions.sort();
    assert_eq!(seen, revisions);
    let middle = seen[100];
    let mut watch = store.watch(middle);
    for revision in &seen[101..] {
        assert_eq!(watch.next().await.unwrap().revision, *revision);
    }
}

pub(super) async fn a_watch_that_is_too_far_behind_is_told_so(store: Arc<dyn Store>) {
    let before = store.durable();
    let mut slow = store.watch(before);
    let large = vec![0; MAX_RECORD - 64];
    let mut last = before;
    // More than the log retains, 32 MiB.
    for _ in 0..90 {
        let put = ["a", "b", "c", "d", "e"].map(|name| (key(name), large.clone())).into();
        last = store.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
    }
    let mut current = store.watch(Revision(last.0 - 1));
    assert_eq!(current.next().await.unwrap().revision, last);
    assert_eq!(slow.next().await.err(), Some(WatchEnd::Compacted));
    assert_eq!(store.watch(before).next().await.err(), Some(WatchEnd::Compacted));
}

pub(super) async fn a_transaction_too_large_changes_nothing(store: Arc<dyn Store>) {
    let before = store.revision().await.unwrap();
    let many = |count: usize| (0..count).map(|number| key(&number.to_string()));
    let too_large = put("a", &vec![0; MAX_RECORD + 1]);
    let too_large_in_all = Transaction {
        put: many(7).map(|key| (key, vec![0; MAX_RECORD])).collect(),
        ..Transaction::default()
    };
    let too_many = Transaction {
        put: many(MAX_OPERATIONS).map(|key| (key, Vec::new())).collect(),
        delete: vec![key("a")],
        ..Transaction::default()
    };
    let require = many(MAX_OPERATIONS + 1).map(|key| (key, Expect::Absent)).collect();
    let too_many_required = Transaction { require, ..put("a", b"1") };
    for mut refused in [too_large, too_large_in_all, too_many, too_many_required] {
        refused.put.push((key("b"), Vec::new()));
        assert!(matches!(store.commit(refused).await, Err(CommitError::TooLarge)));
    }
    assert_eq!(store.revision().await.unwrap(), before);

    // A transaction at the limits is accepted.
    let most = Transaction {
        require: many(MAX_OPERATIONS).map(|key| (key, Expect::Absent)).collect(),
        put: many(MAX_OPERATIONS).map(|key| (key, vec![0; 4000])).collect(),
        ..Transaction::default()
    };
    store.commit(most).await.unwrap();
}

pub(super) async fn a_transaction_after_its_deadline_changes_nothing(store: Arc<dyn Store>) {
    let before = store.revision().await.unwrap();
    let late = Transaction { deadline: Some(Instant::now()), ..put("a", b"1") };
    assert!(matches!(store.commit(late).await, Err(CommitError::TooLate)));
    assert_eq!(store.revision().await.unwrap(), before);
    let early = Instant::now() + std::time::Duration::from_secs(60);
    store.commit(Transaction { deadline: Some(early), ..put("a", b"1") }).await.unwrap();
}

pub(super) async fn a_store_is_new_until_the_first_commit(store: Arc<dyn Store>) {
    assert!(store.is_new().await.unwrap());
    store.commit(Transaction::default()).await.unwrap(); // changes nothing
    assert!(store.is_new().await.unwrap());
    store.commit(put("a", b"1")).await.unwrap();
    store.commit(Transaction { delete: vec![key("a")], ..Transaction::default() }).await.unwrap();
    assert!(!store.is_new().await.unwrap());
}

pub(super) async fn a_replaced_store_has_the_records_and_nothing_else(store: Arc<dyn Store>) {
    store.commit(put("before", b"1")).await.unwrap();
    let overwritten = store.commit(put("500", b"1")).await.unwrap();
    let mut idle = store.watch(store.revision().await.unwrap());
    let mut behind = store.watch(Revision::default());

    let many = (0..1000).map(|number| ReplaceRecord::Put(key(&number.to_string()), b"old".to_vec()));
    let later = [
        ReplaceRecord::Put(key("1"), b"new".to_vec()),
        ReplaceRecord::Delete(key("2")),
        ReplaceRecord::Delete(key("3")),
        ReplaceRecord::Put(key("3"), b"again".to_vec()),
    ];
    let records: ReplaceRecords = Box::new(many.chain(later).map(Ok));
    let replaced = store.replace(records, Revision(overwritten.0 + 10)).await.unwrap();
    assert!(replaced > overwritten);
    assert_eq!(idle.next().await.err(), Some(WatchEnd::Compacted));
    assert_eq!(behind.next().await.err(), Some(WatchEnd::Compacted));
    assert_eq!(store.durable(), replaced);

    let found = store.scan(&Key::from_bytes(&[]), None, 2000).await.unwrap();
    assert_eq!(found.len(), 999);
    for (name, expected) in [("0", Some("old")), ("1", Some("new")), ("2", None), ("3", Some("again"))] {
        let value = store.get(&key(name)).await.unwrap().map(|entry| entry.value);
        assert_eq!(value, expected.map(|value| value.as_bytes().to_vec()), "{name}");
    }
    assert!(store.get(&key("before")).await.unwrap().is_none());
    assert!(!store.is_new().await.unwrap());

    // Commits go on from there. Revisions from before no longer hold.
    let mut stale = put("500", b"2");
    stale.require.push((key("500"), Expect::At(overwritten)));
    assert!(matches!(store.commit(stale).await, Err(CommitError::Conflict(_))));
    let mut watch = store.watch(replaced);
    let mut next = put("500", b"2");
    let present = store.get(&key("500")).await.unwrap().unwrap().revision;
    next.require.push((key("500"), Expect::At(present)));
    let next = store.commit(next).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, next);
}

pub(super) async fn records_that_can_not_be_read_replace_nothing(store: Arc<dyn Store>) {
    let present = store.commit(put("a", b"1")).await.unwrap();
    let many = || (0..500).map(|number| Ok(ReplaceRecord::Put(key(&number.to_string()), b"new".to_vec())));
    let unreadable: ReplaceRecords = Box::new(many().chain([Err(Unreadable("it ends too soon".into()))]));
    let refused = store.replace(unreadable, Revision::default()).await;
    assert!(matches!(refused, Err(ReplaceError::Unreadable(_))));
    let too_large = ReplaceRecord::Put(key("b"), vec![0; MAX_RECORD + 1]);
    let too_large: ReplaceRecords = Box::new(many().chain([Ok(too_large)]));
    assert!(matches!(store.replace(too_large, Revision::default()).await, Err(ReplaceError::TooLarge)));

    let all = store.scan(&Key::from_bytes(&[]), None, 9).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].1.revision, present);
    assert_eq!(store.revision().await.unwrap(), present);
    // The store still takes commits, and watches go on.
    let mut watch = store.watch(present);
    let next = store.commit(put("a", b"2")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, next);
}

pub(super) async fn a_closed_store_refuses(store: Arc<dyn Store>) {
    store.ping().await.unwrap();
    store.close().await;
    assert!(store.ping().await.is_err());
    assert!(matches!(store.commit(put("a", b"1")).await, Err(CommitError::Unavailable(_))));
}

/// Many writers each make many commits of two records. Returns the revisions.
async fn write(store: &Arc<dyn Store>, writers: u8, commits: u8) -> Vec<Revision> {
    let writing = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut revisions = Vec::new();
            for commit in 0..commits {
                let value = vec![writer, commit];
                let put = ["a", "b"].map(|half| (key(&format!("{writer}{half}")), value.clone())).into();
                revisions.push(store.commit(Transaction { put, ..Transaction::default() }).await.unwrap());
            }
            assert!(revisions.is_sorted());
            revisions
        })
    });
    let mut revisions = Vec::new();
    for writer in writing.collect::<Vec<_>>() {
        revisions.extend(writer.await.unwrap());
    }
    revisions
}

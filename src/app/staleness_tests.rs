//! A catalog that cannot follow its store any more, and so may be too old to be served.

use std::time::Duration;

use tokio::time::Instant;

use super::fixture::{Fixture, options};
use super::{Error, UnreadyCause, open};
use crate::crypto::{MasterKeyProvider, MasterKeySource};
use crate::domain::Revision;
use crate::store::{Key, ReplaceRecord, Store};

/// All records of a store.
async fn contents(store: &dyn Store) -> Vec<(Key, Vec<u8>)> {
    let all = store.scan(&Key::all(), None, 1000).await.unwrap();
    all.into_iter().map(|(key, entry)| (key, entry.value)).collect()
}

async fn replace(store: &dyn Store, contents: Vec<(Key, Vec<u8>)>) {
    let records = contents.into_iter().map(|(key, value)| Ok(ReplaceRecord::Put(key, value)));
    store.replace(Box::new(records), Revision::default()).await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_altered_or_is_older_is_not_served_from_memory() {
    let fixture = Fixture::open().await;
    fixture.create("a", "a").await.unwrap();
    let older = contents(&*fixture.store).await;
    fixture.create("b", "b").await.unwrap();
    let whole = contents(&*fixture.store).await;
    let mut altered = whole.clone();
    let of_b = altered.iter().rposition(|(key, _)| key.as_bytes().first() == Some(&b's')).unwrap();
    altered.remove(of_b);
    let mut without_keyring = whole.clone();
    without_keyring.retain(|(key, _)| *key != Key::keyring());

    for bad in [older, altered, without_keyring] {
        replace(&*fixture.store, bad).await;
        while fixture.app.serves().is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            fixture.app.access.confirm(&Fixture::authorization(&fixture.root)),
            Err(Error::Unavailable(_))
        ));
        assert!(fixture.app.check().await.is_err());

        replace(&*fixture.store, whole.clone()).await;
        tokio::time::pause(); // the next attempt comes at once
        while fixture.app.serves().is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::resume();
        assert!(
            fixture.app.access.confirm(&Fixture::authorization(&fixture.root)).is_ok()
                && fixture.app.check().await.is_ok()
        );
        assert_eq!(fixture.value(&fixture.app, "b").await.unwrap(), "b");
    }
}

#[tokio::test]
async fn a_replica_without_the_new_master_key_serves_its_old_state_for_some_seconds_only() {
    let fixture = Fixture::open().await;
    fixture.create("a", "a").await.unwrap();
    let source = MasterKeySource::File("nowhere".into());
    let replica = MasterKeyProvider::new(source, fixture.master.clone());
    let replica = open(fixture.store.clone(), replica, options(), |_| panic!("not new")).await.unwrap();
    fixture.rekey().rekey_master_key(|_| {}).await.unwrap();

    tokio::time::pause();
    let rekeyed = Instant::now();
    while replica.serves().is_ok() {
        assert_eq!(fixture.value(&replica, "a").await.unwrap(), "a");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let served = rekeyed.elapsed();
    assert!((9..=11).contains(&served.as_secs()), "for {served:?}");
    assert!(matches!(
        replica.access.confirm(&Fixture::authorization(&fixture.root)),
        Err(Error::Unavailable(_))
    ));
    assert!(fixture.app.serves().is_ok());
}

#[tokio::test]
async fn a_replica_that_finds_the_new_master_key_in_its_source_goes_on() {
    let fixture = Fixture::open().await;
    let replica = fixture.restart().await;
    fixture.rekey().rekey_master_key(|_| {}).await.unwrap();
    tokio::time::pause();
    while replica.revision() < fixture.app.revision() {
        assert!(replica.serves().is_ok());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(replica.serves().is_ok());
}

#[tokio::test]
async fn a_store_that_has_gone_on_from_an_older_copy_is_refused_however_far_it_has_come() {
    let fixture = Fixture::open().await;
    fixture.create("a", "a").await.unwrap();
    let older = contents(&*fixture.store).await;
    fixture.create("b", "b").await.unwrap();
    let whole = contents(&*fixture.store).await;

    let left = crate::store::open_memory().unwrap();
    replace(&*left, older).await;
    let other = fixture.beside(left).await;
    for number in 0..5 {
        other.create(&format!("other{number}"), "1").await.unwrap();
    }
    assert!(other.app.core.catalog.digest().commits > fixture.app.core.catalog.digest().commits);

    replace(&*fixture.store, contents(&*other.store).await).await;
    while fixture.app.serves().is_ok() {
        tokio::task::yield_now().await;
    }
    // Nothing looks at the store here, and readiness knows it all the same.
    let unready = |fixture: &Fixture| fixture.app.readiness.state().unready;
    assert!(unready(&fixture).iter().any(|unready| unready.cause == UnreadyCause::OtherHistory));
    let Err(Error::Unavailable(why)) = fixture.app.serves() else { panic!("it serves") };
    assert!(why.to_string().contains("gone on from an older copy, and lacks changes"), "{why}");
    assert!(fixture.create("c", "c").await.is_err());

    replace(&*fixture.store, whole).await;
    tokio::time::pause(); // the next attempt comes at once
    while fixture.app.serves().is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::resume();
    fixture.create("c", "c").await.unwrap();
    assert!(unready(&fixture).is_empty());
}

#[tokio::test]
async fn what_another_server_restores_or_changes_is_a_later_state() {
    let fixture = Fixture::open().await;
    fixture.create("a", "a").await.unwrap();
    let (backup, _) = fixture.back_up().await;
    let replica = fixture.beside(fixture.store.clone()).await;
    replica.create("b", "b").await.unwrap();
    fixture.create("c", "c").await.unwrap();
    replica.create("d", "d").await.unwrap();

    let incoming = fixture.app.backup.restore(&fixture.service_grant()).unwrap();
    assert!(incoming.take(backup).await);
    incoming.finish(Default::default(), |_| {}).await.unwrap();
    let restored = fixture.app.core.catalog.digest();
    while replica.app.core.catalog.digest() != restored {
        assert!(replica.app.serves().is_ok());
        tokio::task::yield_now().await;
    }
    replica.create("b", "again").await.unwrap();
    assert_eq!(fixture.value(&fixture.app, "a").await.unwrap(), "a");
}

/// etcd is put back to an older state. A replica that runs refuses it; one that is started then cannot know better, and changes
/// it.
#[cfg(feature = "etcd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_was_put_back_and_changed_is_refused_by_the_replicas_that_knew_it() {
    use crate::store::etcd_fixture::{Etcd, fresh};
    let Some(etcd) = Etcd::start() else { return };
    let settings = fresh(&etcd);
    let open = async || crate::store::open_etcd(&settings).await.unwrap();
    let fixture = Fixture::over(open().await).await;
    let replica = fixture.beside(open().await).await;
    fixture.create("a", "a").await.unwrap();
    replica.create("b", "b").await.unwrap();
    let saved = etcd.save();
    let created = async |fixture: &Fixture, name: &str| {
        // The connection had broken: then it may have been made, or not.
        while fixture.create(name, "1").await.is_err() && fixture.app.core.catalog.namespaces().is_empty() {}
    };
    while fixture.app.check().await.is_err() || replica.app.check().await.is_err() {}
    created(&fixture, "lost").await;
    let known = fixture.app.core.catalog.digest();
    while replica.app.core.catalog.digest().commits < known.commits {
        tokio::task::yield_now().await;
    }

    etcd.put_back(&saved);
    while fixture.app.serves().is_ok() || replica.app.serves().is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let started = fixture.beside(open().await).await;
    let mut number = 0;
    while started.app.core.catalog.digest().commits <= known.commits + 3 {
        started.create(&format!("other{number}"), "1").await.unwrap();
        number += 1;
    }
    for served in [&fixture, &replica] {
        loop {
            let Err(Error::Unavailable(why)) = served.app.serves() else {
                panic!("it serves the other history")
            };
            if why.to_string().contains("gone on from an older copy") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(served.create("c", "c").await.is_err());
    }
    assert!(started.app.serves().is_ok());
    // The replicas do not follow the store until they are started again, as the message says.
    let again = fixture.beside(open().await).await;
    assert_eq!(fixture.value(&again.app, "other0").await.unwrap(), "1");
}

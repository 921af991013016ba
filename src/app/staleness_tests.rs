//! A catalog that cannot follow its store any more, and so may be too old to be served.

use std::time::Duration;

use tokio::time::Instant;

use super::fixture::{Fixture, options};
use super::{Error, open};
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

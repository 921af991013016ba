//! A store that the catalog can not follow any more.

use std::time::Duration;

use tokio::time::Instant;

use super::tests::{Site, options, provider};
use super::*;
use crate::crypto::{MasterKeyProvider, MasterKeySource};
use crate::store::{Key, ReplaceRecord};

/// All that a store holds.
async fn content(store: &dyn Store) -> Vec<(Key, Vec<u8>)> {
    let all = store.scan(&Key::all(), None, 1000).await.unwrap();
    all.into_iter().map(|(key, entry)| (key, entry.value)).collect()
}

async fn replace(store: &dyn Store, content: Vec<(Key, Vec<u8>)>) {
    let records = content.into_iter().map(|(key, value)| Ok(ReplaceRecord::Put(key, value)));
    store.replace(Box::new(records), Revision::default()).await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_altered_or_is_older_is_not_served_from_memory() {
    let site = Site::open().await;
    site.create("a", "a").await.unwrap();
    let older = content(&*site.store).await;
    site.create("b", "b").await.unwrap();
    let whole = content(&*site.store).await;
    let mut altered = whole.clone();
    let of_b = altered.iter().rposition(|(key, _)| key.as_bytes().first() == Some(&b's')).unwrap();
    altered.remove(of_b);
    let mut without_keyring = whole.clone();
    without_keyring.retain(|(key, _)| *key != Key::keyring());

    for bad in [older, altered, without_keyring] {
        replace(&*site.store, bad).await;
        while site.app.serves().is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(site.app.confirm(&site.root), Err(Error::Unavailable(_))));
        assert!(site.app.check().await.is_err());

        replace(&*site.store, whole.clone()).await;
        tokio::time::pause(); // the next attempt is not waited for
        while site.app.serves().is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::resume();
        assert!(site.app.confirm(&site.root).is_ok() && site.app.check().await.is_ok());
        assert_eq!(site.value(&site.app, "b").await.unwrap(), "b");
    }
}

#[tokio::test]
async fn a_replica_without_the_new_master_key_serves_its_old_state_for_some_seconds_only() {
    let site = Site::open().await;
    site.create("a", "a").await.unwrap();
    let source = MasterKeySource::File("nowhere".into());
    let replica = MasterKeyProvider::new(source, site.master.clone());
    let replica = open(site.store.clone(), replica, options(), |_| panic!("not new")).await.unwrap();
    let grant = site.root.authorize_service().unwrap();
    site.app.rotation(&grant).unwrap().rotate_master_key(|_| {}).await.unwrap();

    tokio::time::pause();
    let rotated = Instant::now();
    while replica.serves().is_ok() {
        assert_eq!(site.value(&replica, "a").await.unwrap(), "a");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let served = rotated.elapsed();
    assert!((9..=11).contains(&served.as_secs()), "for {served:?}");
    assert!(matches!(replica.confirm(&site.root), Err(Error::Unavailable(_))));
    assert!(site.app.serves().is_ok());
}

#[tokio::test]
async fn a_replica_that_finds_the_new_master_key_in_its_source_goes_on() {
    let site = Site::open().await;
    let replica = open(site.store.clone(), provider(&site.master), options(), |_| panic!("not new"));
    let replica = replica.await.unwrap();
    let grant = site.root.authorize_service().unwrap();
    site.app.rotation(&grant).unwrap().rotate_master_key(|_| {}).await.unwrap();
    tokio::time::pause();
    while replica.revision() < site.app.revision() {
        assert!(replica.serves().is_ok());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(replica.serves().is_ok());
}

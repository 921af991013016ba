//! The records of versions, altered under the service's hands.

use super::tests::{Site, named};
use super::*;
use crate::auth::{Read, Write};
use crate::domain::{Value, VersionState};
use crate::store::{Entry, Key};

impl Site {
    async fn version(&self, name: &str, number: u32) -> Result<String, Error> {
        let grant = self.grant::<Read>();
        let found = self.app.get(&grant, &named(name), Some(number), Revision::default()).await?;
        match found.value {
            Value::Text(text) => Ok(text.to_string()),
            Value::Binary(_) => panic!("expected text"),
        }
    }

    async fn destroy(&self, name: &str, number: u32) -> Result<(ChangedVersion, DestructionReceipt), Error> {
        let change = VersionChange { name: named(name), number, etag: None };
        self.app.destroy_version(&self.grant::<Write>(), &change, None).await
    }

    /// The records of all versions of the one secret that there is, oldest first.
    async fn versions(&self) -> Vec<(Key, Entry)> {
        self.stored(b'v').await
    }

    async fn remove(&self, key: &Key) {
        let transaction = Transaction { delete: vec![key.clone()], ..Transaction::default() };
        let revision = self.store.commit(transaction).await.unwrap();
        self.app.catalog.at_least(revision).await.unwrap();
    }
}

fn refused<T>(outcome: Result<T, Error>) -> Error {
    outcome.err().expect("a refusal")
}

#[tokio::test]
async fn a_value_of_another_life_of_its_place_is_refused() {
    let site = Site::open().await;
    let secret = site.create("a", "one").await.unwrap();
    let (key, first) = site.versions().await.remove(0);
    // Sealed with the same keys for the same place, as an older copy of the store could hold it.
    let there = site.app.catalog.namespace(&secret.namespace).unwrap();
    let older = Value::text("older".to_owned()).unwrap();
    let older = there.keys().seal_value(secret.id.as_bytes(), 1, &older.encode()).unwrap();
    site.overwrite(&key, older).await;
    for app in [&*site.app, &site.again().await] {
        assert!(matches!(site.value(app, "a").await, Err(Error::Integrity)));
    }
    site.overwrite(&key, first.value).await;
    assert_eq!(site.value(&site.app, "a").await.unwrap(), "one");
}

#[tokio::test]
async fn versions_that_were_swapped_are_refused_and_the_rest_is_served() {
    let site = Site::open().await;
    site.create("a", "one").await.unwrap();
    for value in ["two", "three"] {
        site.rotate("a", value).await;
    }
    let [(first, of_first), (second, of_second), _] = site.versions().await.try_into().unwrap();
    site.overwrite(&first, of_second.value).await;
    site.overwrite(&second, of_first.value).await;
    for number in [1, 2] {
        assert!(matches!(site.version("a", number).await, Err(Error::Integrity)));
    }
    assert_eq!(site.version("a", 3).await.unwrap(), "three");
    site.remove(&first).await;
    assert!(matches!(site.version("a", 1).await, Err(Error::Integrity)), "gone, and not destroyed");
}

#[tokio::test]
async fn a_destroyed_version_leaves_no_record_and_one_that_is_put_back_is_not_read() {
    let site = Site::open().await;
    site.create("a", "one").await.unwrap();
    site.rotate("a", "two").await;
    let (key, entry) = site.versions().await.remove(0);
    let (changed, receipt) = site.destroy("a", 1).await.unwrap();
    assert_eq!(changed.version.state, VersionState::Destroyed);
    assert_eq!(receipt.destruction.data_key, crate::crypto::data_key_digest(&entry.value));
    assert!(receipt.destruction.data_key.is_some());
    assert_eq!(site.versions().await.len(), 1);

    site.overwrite(&key, entry.value).await;
    for app in [&*site.app, &site.again().await] {
        let read = app.get(&site.grant::<Read>(), &named("a"), Some(1), Revision::default()).await;
        assert!(matches!(refused(read), Error::VersionDestroyed(_, _, 1)));
    }
    // Deleting the secret takes it along.
    site.app.delete(&site.grant::<Write>(), &named("a"), None, None).await.unwrap();
    assert!(site.versions().await.is_empty());
}

#[tokio::test]
async fn a_damaged_version_can_be_destroyed_and_the_receipt_names_no_key() {
    let site = Site::open().await;
    site.create("a", "one").await.unwrap();
    for value in ["two", "three", "four"] {
        site.rotate("a", value).await;
    }
    let versions = site.versions().await;
    let mut altered = versions[0].1.value.clone();
    altered[70] ^= 1;
    site.overwrite(&versions[0].0, altered).await;
    site.overwrite(&versions[1].0, b"short".to_vec()).await;
    site.remove(&versions[2].0).await;
    for number in [1, 2, 3] {
        assert!(matches!(site.version("a", number).await, Err(Error::Integrity)));
        let (changed, receipt) = site.destroy("a", number).await.unwrap();
        assert_eq!((changed.version.state, receipt.destruction.data_key), (VersionState::Destroyed, None));
        assert!(receipt.public_key.verify(receipt.statement.as_bytes(), &receipt.signature));
    }
    assert_eq!(site.versions().await.len(), 1);
    assert_eq!(site.version("a", 4).await.unwrap(), "four");
}

#[tokio::test]
async fn a_receipt_is_the_same_after_a_restart_and_of_this_store_alone() {
    let site = Site::open().await;
    let other = Site::open().await;
    site.create("a", "one").await.unwrap();
    let (changed, receipt) = site.destroy("a", 1).await.unwrap();
    let change = VersionChange { name: named("a"), number: 1, etag: None };
    for app in [&*site.app, &site.again().await] {
        let (again, same) = app.destroy_version(&site.grant::<Write>(), &change, None).await.unwrap();
        assert_eq!((again.secret, again.version), (changed.secret.clone(), changed.version.clone()));
        assert_eq!((same.statement, same.signature), (receipt.statement.clone(), receipt.signature));
        assert_eq!(same.public_key, receipt.public_key);
    }
    let foreign = other.app.keyring().public_key().clone();
    assert!(!foreign.verify(receipt.statement.as_bytes(), &receipt.signature));
}

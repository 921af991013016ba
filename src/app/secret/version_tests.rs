//! Versions whose records were altered behind the service's back, and destroyed versions.

use super::{ChangedVersion, DestructionReceipt, VersionChange};
use crate::app::Error;
use crate::app::fixture::Fixture;
use crate::auth::Delete;
use crate::crypto::data_key_digest;
use crate::domain::{Value, VersionState};
use crate::store::{Entry, Key};

/// The value of a version of the secret `a`.
async fn version(fixture: &Fixture, number: u32) -> Result<String, Error> {
    fixture.value_of(&fixture.app, "a", Some(number)).await
}

/// Destroys a version of the secret `a`.
async fn destroy(fixture: &Fixture, number: u32) -> Result<(ChangedVersion, DestructionReceipt), Error> {
    let change = VersionChange { number, etag: None };
    fixture.app.secrets.destroy_version(&fixture.grant::<Delete>("a"), &change, None).await
}

/// The records of all versions of the only secret, oldest first.
async fn records(fixture: &Fixture) -> Vec<(Key, Entry)> {
    fixture.stored(b'v').await
}

#[tokio::test]
async fn an_older_value_in_the_place_of_a_version_is_refused() {
    let fixture = Fixture::open().await;
    let secret = fixture.create("a", "one").await.unwrap();
    let (key, first) = records(&fixture).await.remove(0);
    // Sealed with the same keys for the same place: an older copy of the store could hold it.
    let namespace = fixture.app.core.catalog.namespace(&secret.namespace).unwrap();
    let older = Value::text("older".to_owned()).unwrap();
    let older = namespace.keys().seal_value(secret.id.as_bytes(), 1, &older.encode()).unwrap();
    fixture.overwrite(&key, older).await;
    for app in [&*fixture.app, &fixture.restart().await] {
        assert!(matches!(fixture.value(app, "a").await, Err(Error::Integrity)));
    }
    fixture.overwrite(&key, first.value).await;
    assert_eq!(fixture.value(&fixture.app, "a").await.unwrap(), "one");
}

#[tokio::test]
async fn versions_that_were_swapped_are_refused_and_the_rest_is_served() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    for value in ["two", "three"] {
        fixture.rotate("a", value).await;
    }
    let [(first, of_first), (second, of_second), _] = records(&fixture).await.try_into().unwrap();
    fixture.overwrite(&first, of_second.value).await;
    fixture.overwrite(&second, of_first.value).await;
    for number in [1, 2] {
        assert!(matches!(version(&fixture, number).await, Err(Error::Integrity)));
    }
    assert_eq!(version(&fixture, 3).await.unwrap(), "three");
    fixture.remove(&first).await;
    assert!(
        matches!(version(&fixture, 1).await, Err(Error::Integrity)),
        "its record is gone, and it was not destroyed"
    );
}

#[tokio::test]
async fn a_destroyed_version_leaves_no_record_and_one_that_is_put_back_is_not_read() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    fixture.rotate("a", "two").await;
    let (key, entry) = records(&fixture).await.remove(0);
    let (changed, receipt) = destroy(&fixture, 1).await.unwrap();
    assert_eq!(changed.version.state, VersionState::Destroyed);
    assert_eq!(receipt.destruction.data_key, data_key_digest(&entry.value));
    assert!(receipt.destruction.data_key.is_some());
    assert_eq!(records(&fixture).await.len(), 1);

    fixture.overwrite(&key, entry.value).await;
    for app in [&*fixture.app, &fixture.restart().await] {
        let read = fixture.value_of(app, "a", Some(1)).await;
        assert!(matches!(read, Err(Error::VersionDestroyed(_, _, 1))));
    }
    // The deletion of the secret removes the record too.
    fixture.app.secrets.delete(&fixture.grant::<Delete>("a"), None, None).await.unwrap();
    assert!(records(&fixture).await.is_empty());
}

#[tokio::test]
async fn a_damaged_version_can_be_destroyed_and_the_receipt_names_no_key() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    for value in ["two", "three", "four"] {
        fixture.rotate("a", value).await;
    }
    let versions = records(&fixture).await;
    let mut altered = versions[0].1.value.clone();
    altered[70] ^= 1;
    fixture.overwrite(&versions[0].0, altered).await;
    fixture.overwrite(&versions[1].0, b"short".to_vec()).await;
    fixture.remove(&versions[2].0).await;
    for number in [1, 2, 3] {
        assert!(matches!(version(&fixture, number).await, Err(Error::Integrity)));
        let (changed, receipt) = destroy(&fixture, number).await.unwrap();
        assert_eq!((changed.version.state, receipt.destruction.data_key), (VersionState::Destroyed, None));
        assert!(receipt.public_key.verify(receipt.statement.as_bytes(), &receipt.signature));
    }
    assert_eq!(records(&fixture).await.len(), 1);
    assert_eq!(version(&fixture, 4).await.unwrap(), "four");
}

#[tokio::test]
async fn a_receipt_is_the_same_after_a_restart_and_of_this_store_alone() {
    let fixture = Fixture::open().await;
    let other = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    let (changed, receipt) = destroy(&fixture, 1).await.unwrap();
    let change = VersionChange { number: 1, etag: None };
    for app in [&*fixture.app, &fixture.restart().await] {
        let (again, same) =
            app.secrets.destroy_version(&fixture.grant::<Delete>("a"), &change, None).await.unwrap();
        assert_eq!((again.secret, again.version), (changed.secret.clone(), changed.version.clone()));
        assert_eq!((same.statement, same.signature), (receipt.statement.clone(), receipt.signature));
        assert_eq!(same.public_key, receipt.public_key);
    }
    let foreign = other.app.core.keyring().public_key().clone();
    assert!(!foreign.verify(receipt.statement.as_bytes(), &receipt.signature));
}

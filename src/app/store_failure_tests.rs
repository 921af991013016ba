//! A store that fails: nothing that can still be lost is shown, and the service goes on when the store does.

use std::sync::Arc;

use super::fixture::{Fixture, request};
use super::{App, Error};
use crate::auth::Delete;
use crate::store;

/// Waits until the store can be written to again.
async fn wait_until_it_serves(app: &App) {
    while app.check().await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_write_refuses_changes_serves_reads_and_recovers() {
    let (store, faults) = store::fault::open_faulty_memory();
    let fixture = Fixture::over(store).await;
    fixture.create("a", "a").await.unwrap();
    faults.refuse_writes();
    assert!(matches!(fixture.create("b", "b").await.err(), Some(Error::Unavailable(_))));
    assert!(fixture.app.check().await.is_err());
    assert!(fixture.app.serves().is_ok());
    assert_eq!(fixture.value(&fixture.app, "a").await.unwrap(), "a");
    assert!(matches!(fixture.value(&fixture.app, "b").await, Err(Error::SecretNotFound(..))));
    faults.end();
    wait_until_it_serves(&fixture.app).await;
    fixture.create("b", "b").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_sync_failed_is_shown_once_it_is_known_to_be_durable() {
    let (store, faults) = store::fault::open_faulty_memory();
    let fixture = Fixture::over(store).await;
    fixture.create("a", "a").await.unwrap();
    faults.fail_sync_after(0);
    faults.keep_unsynced();
    assert!(matches!(fixture.create("b", "b").await.err(), Some(Error::Unavailable(_))));
    assert!(matches!(fixture.value(&fixture.app, "b").await, Err(Error::SecretNotFound(..))));
    faults.fail_sync_after(usize::MAX);
    wait_until_it_serves(&fixture.app).await;
    assert_eq!(fixture.value(&fixture.app, "b").await.unwrap(), "b");
    assert!(matches!(fixture.create("b", "c").await.err(), Some(Error::SecretAlreadyExists(..))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_lost_is_made_when_it_is_asked_for_again() {
    let (store, faults) = store::fault::open_faulty_memory();
    let fixture = Arc::new(Fixture::over(store).await);
    fixture.create("a", "a").await.unwrap();
    let before = fixture.app.revision();
    // The idempotency record can be read until the store is opened again, and is gone then.
    faults.fail_sync_after(0);
    let delete = |fixture: Arc<Fixture>| async move {
        fixture.app.secrets.delete(&fixture.grant::<Delete>("a"), None, Some(&request())).await
    };
    assert!(delete(fixture.clone()).await.is_err());
    assert_eq!(fixture.stored(b'r').await.len(), 1, "the broken store shows the record");
    let again = tokio::spawn(delete(fixture.clone()));
    while !again.is_finished() && fixture.app.revision() == before {
        faults.end();
        let _ = fixture.app.check().await;
        let _ = fixture.create("another", "takes the next revision").await;
    }
    again.await.unwrap().unwrap();
    assert!(
        matches!(fixture.value(&fixture.app, "a").await, Err(Error::SecretNotFound(..))),
        "the caller was told that it was deleted"
    );
}

//! Changes that other writers overtake, and changes that contradict the store.

use super::Error;
use super::authority::Authority;
use super::fixture::Fixture;
use crate::store::{Expect, Key, Transaction};

#[tokio::test]
async fn a_change_that_was_overtaken_is_planned_again_until_there_were_enough_attempts() {
    let fixture = Fixture::open().await;
    let core = &fixture.app.core;
    let key = Key::api_key(&[7; 10]);
    let put = |expect| Transaction {
        require: vec![(key.clone(), expect)],
        put: vec![(key.clone(), b"record".to_vec())],
        ..Transaction::default()
    };
    let mut attempts = core.attempts(2, Authority::Service);
    let overtaken = attempts.next().unwrap();
    fixture.overwrite(&key, b"another".to_vec()).await;
    assert_eq!(overtaken.commit(put(Expect::Absent)).await.unwrap(), None);

    let second = attempts.next().unwrap();
    let stored_at = core.store.get(&key).await.unwrap().unwrap().revision;
    let revision = second.commit(put(Expect::At(stored_at))).await.unwrap().unwrap();
    assert!(core.catalog.revision() >= revision, "the catalog shows what is committed");
    assert!(matches!(attempts.next().err(), Some(Error::Contended)));
}

#[tokio::test]
async fn a_change_that_the_store_refuses_without_anything_new_is_not_planned_again() {
    let fixture = Fixture::open().await;
    let key = Key::api_key(&[7; 10]);
    fixture.overwrite(&key, b"unknown to the catalog".to_vec()).await;
    let require = vec![(key, Expect::Absent)];
    let attempt = fixture.app.core.attempts(2, Authority::Service).next().unwrap();
    let refused = attempt.commit(Transaction { require, ..Transaction::default() }).await;
    assert!(matches!(refused.err(), Some(Error::Integrity)));
}

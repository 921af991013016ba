//! Changes that other writers overtake, and changes that contradict the store.

use std::sync::{Arc, Mutex};

use super::authority::Authority;
use super::commit::TURNS;
use super::fixture::Fixture;
use super::{Error, Expiry};
use crate::auth::Principal;
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

#[tokio::test]
async fn the_change_of_a_principal_waits_for_one_turn_of_another_with_many() {
    let fixture = Fixture::open().await;
    let (many, one) = (fixture.caller(Expiry::Never).await, fixture.caller(Expiry::Never).await);
    let turns = &fixture.app.core.turns;
    let mut taken = Vec::new();
    for _ in 0..TURNS {
        taken.push(turns.turn(fixture.root.name()).await.unwrap());
    }
    let done = Arc::<Mutex<Vec<u8>>>::default();
    let change = |principal: &Principal, number: u8| {
        let (app, principal, done) = (fixture.app.clone(), principal.clone(), done.clone());
        tokio::spawn(async move {
            let attempt = app.core.attempts(1, Authority::Caller(&principal, &[])).next().unwrap();
            let put = vec![(Key::api_key(&[number; 10]), b"record".to_vec())];
            attempt.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
            done.lock().unwrap().push(number);
        })
    };
    let mut changes: Vec<_> = (0..50).map(|number| change(&many, number)).collect();
    while turns.waiting() < 50 {
        tokio::task::yield_now().await;
    }
    changes.push(change(&one, 99));
    while turns.waiting() < 51 {
        tokio::task::yield_now().await;
    }
    // One turn for all of them.
    taken.pop();
    for change in changes {
        change.await.unwrap();
    }
    let done = done.lock().unwrap();
    let place = done.iter().position(|number| *number == 99).unwrap();
    assert!(place <= 2, "{done:?}");
}

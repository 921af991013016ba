//! A snapshot: the present secrets, and then the changes since.

use std::collections::BTreeMap;

use strongroom::api::v1::watch_secrets_response::Step;
use strongroom::api::v1::{SecretEventType, WatchBookmark, WatchSecretsRequest};

use super::{Watching, after, watch};
use crate::caller::Room;
use crate::requests::{describe, pairs, rename, update};

fn snapshot() -> WatchSecretsRequest {
    WatchSecretsRequest { snapshot: true, ..watch() }
}

#[tokio::test]
async fn the_secrets_that_match_come_first_and_then_the_changes() {
    let room = Room::open().await;
    for number in 0..250 {
        room.create(&format!("s{number:03}"), "v").await;
    }
    let last = room.update(strongroom::api::v1::UpdateSecretRequest {
        metadata: pairs(&[("k", "v")]),
        ..update("s007")
    });
    let last = last.await;
    let (mut watching, events) = Watching::synced(&room, snapshot()).await;
    let names: Vec<_> = events.iter().map(|event| event.secret.clone().unwrap().name).collect();
    assert_eq!(names, (0..250).map(|number| format!("s{number:03}")).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.r#type() == SecretEventType::Snapshot));
    assert!(
        events.iter().all(|event| event.resume_revision == 0),
        "a part of a snapshot cannot be continued"
    );
    assert_eq!((&events[7].secret, events[7].revision), (&Some(last.clone()), last.revision));
    room.rotate("s001", "w").await;
    assert_eq!(watching.told().await, super::told(SecretEventType::Rotated, "s001"));

    let filtered =
        WatchSecretsRequest { metadata: pairs(&[("k", "v")]), name_prefix: "s0".into(), ..snapshot() };
    let (_, events) = Watching::synced(&room, filtered).await;
    assert_eq!(events.iter().map(|event| event.secret.clone().unwrap()).collect::<Vec<_>>(), [last]);
}

/// A watcher that keeps what it is told has, at each bookmark, exactly what there is at its revision.
#[tokio::test]
async fn what_is_told_while_others_write_adds_up_to_one_state() {
    let room = Room::open().await;
    for number in 0..300 {
        room.create(&format!("s{number}"), "v").await;
    }
    let writing = {
        let caller = room.caller.clone();
        tokio::spawn(async move {
            for number in 0..150 {
                let name = format!("s{}", (number * 37) % 300);
                match number % 3 {
                    0 => drop(caller.update(describe(&name, &format!("{number}"))).await),
                    1 => drop(caller.update(rename(&name, &format!("r{number}"))).await),
                    _ => caller.delete(&name).await,
                }
            }
            caller.create("the_last", "v").await.revision
        })
    };
    for _ in 0..3 {
        let mut known: BTreeMap<String, (String, u64)> = BTreeMap::new();
        let mut watching = Watching::begin(&room, snapshot()).await.unwrap();
        loop {
            match watching.step().await.unwrap() {
                Step::Event(event) => {
                    let secret = event.secret.clone().unwrap();
                    match event.r#type() {
                        SecretEventType::Deleted | SecretEventType::Removed => drop(known.remove(&secret.id)),
                        SecretEventType::Snapshot => {
                            let newer =
                                known.get(&secret.id).is_none_or(|(_, known)| *known < secret.revision);
                            assert!(newer, "an older state after a newer one");
                            known.insert(secret.id, (secret.name, secret.revision));
                        }
                        other => panic!("{other:?} before the bookmark"),
                    }
                }
                Step::Bookmark(WatchBookmark { revision, synced: true }) => {
                    // What a watch of the changes from then on makes of it is what there is at last.
                    let mut from_there = Watching::begin(&room, after(revision)).await.unwrap();
                    follow(&mut from_there, &mut known).await;
                    let mut present = BTreeMap::new();
                    let mut at_last = Watching::begin(&room, snapshot()).await.unwrap();
                    for event in at_last.until_synced().await {
                        let secret = event.secret.unwrap();
                        present.insert(secret.id, (secret.name, secret.revision));
                    }
                    assert_eq!(known, present);
                    break;
                }
                Step::Bookmark(_) => {}
            }
        }
    }
    writing.await.unwrap();
}

/// Applies the changes up to the last one of the test.
async fn follow(watching: &mut Watching, known: &mut BTreeMap<String, (String, u64)>) {
    loop {
        if known.values().any(|(name, _)| name == "the_last") {
            return;
        }
        let event = watching.event().await;
        let secret = event.secret.clone().unwrap();
        match event.r#type() {
            SecretEventType::Deleted | SecretEventType::Removed => drop(known.remove(&secret.id)),
            _ => drop(known.insert(secret.id, (secret.name, secret.revision))),
        }
    }
}

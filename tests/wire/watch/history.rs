//! How long changes can be told after they were made: settings, restarts and restores.

use std::time::Duration;

use strongroom::api::v1::{RotateMasterKeyRequest, SecretEventType, WatchSecretsRequest};
use tonic::Code;

use super::{Watching, after, told, watch, with_history};
use crate::backup::{backup, restore};
use crate::caller::{Caller, Room};
use crate::harness::{Launch, PATIENCE, Server};
use crate::refusal::{reason_of, refused};
use crate::requests::describe;

#[tokio::test]
async fn a_change_is_told_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let (watching, _) = Watching::synced(&root, watch()).await;
    let begun = watching.resume;
    root.create("a", "v").await;
    root.rotate("a", "w").await;
    drop(watching);
    server.stop().await;
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    root.update(describe("a", "what for")).await;
    let (mut back, events) = Watching::synced(&root, after(begun)).await;
    use SecretEventType as Is;
    let expected = [told(Is::Created, "a"), told(Is::Rotated, "a"), told(Is::Updated, "a")];
    assert_eq!(events.iter().map(super::summary).collect::<Vec<_>>(), expected);
    root.delete("a").await;
    assert_eq!(back.told().await, told(Is::Deleted, "a"));
}

/// The pause between two looks: each watch that is dropped is a reset, of which a connection may make only so many.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Waits until the changes after a revision are no longer kept.
async fn compacted(caller: &Caller, revision: u64) {
    let look = async {
        loop {
            match caller.secrets().watch_secrets(after(revision)).await {
                Ok(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
                refusal => return refused(refusal, Code::OutOfRange, "REVISION_COMPACTED"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the changes are removed in time");
}

#[tokio::test]
async fn only_so_many_changes_are_kept_and_who_missed_some_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = with_history(&data, "max_events = 10");
    let root = Caller::root(&server).await;
    let (mut watching, _) = Watching::synced(&root, watch()).await;
    let begun = watching.resume;
    let mut revisions = Vec::new();
    for number in 0..300 {
        root.create(&format!("s{number}"), "v").await;
    }
    for number in 0..300 {
        // A watch that is live is told all of them, however few are kept.
        let event = watching.event().await;
        assert_eq!(event.secret.unwrap().name, format!("s{number}"));
        revisions.push(event.revision);
    }
    compacted(&root, revisions[288]).await;
    compacted(&root, begun).await;
    let (_, kept) = Watching::synced(&root, after(revisions[289])).await;
    assert_eq!(kept.iter().map(|event| event.revision).collect::<Vec<_>>(), revisions[290..]);
    // A snapshot tells all secrets, whatever is kept.
    let snapshot = WatchSecretsRequest { snapshot: true, ..watch() };
    let (_, present) = Watching::synced(&root, snapshot).await;
    assert_eq!(present.len(), 300);
    // It stays so after a restart.
    server.stop().await;
    let server = with_history(&data, "max_events = 10");
    let root = Caller::root(&server).await;
    compacted(&root, revisions[288]).await;
    let (_, kept) = Watching::synced(&root, after(revisions[294])).await;
    assert_eq!(kept.len(), 5);
}

#[tokio::test]
async fn changes_that_are_too_old_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_history(&folder.path().join("data"), "max_age = '1s'");
    let root = Caller::root(&server).await;
    let first = root.create("a", "v").await.revision;
    root.create("b", "v").await;
    compacted(&root, first).await;
    let (mut watching, _) = Watching::synced(&root, watch()).await;
    root.create("c", "v").await;
    assert_eq!(watching.told().await, told(SecretEventType::Created, "c"));
}

#[tokio::test]
async fn a_restore_ends_watches_and_the_history_begins_again() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("a", "v").await;
    let (bytes, _) = backup(&room.root).await.unwrap();
    let (watching, _) = Watching::synced(&room, watch()).await;
    let before = room.create("b", "v").await.revision;
    let done = restore(&room.root, &bytes, false).await.unwrap();
    let ended = watching.ended().await;
    assert_eq!((ended.code(), reason_of(&ended).as_str()), (Code::OutOfRange, "REVISION_COMPACTED"));
    let lost = room.secrets().watch_secrets(after(before)).await;
    refused(lost, Code::OutOfRange, "REVISION_COMPACTED");

    let snapshot = WatchSecretsRequest { snapshot: true, ..watch() };
    let (watching, present) = Watching::synced(&room, snapshot).await;
    assert_eq!(
        present.iter().map(super::summary).collect::<Vec<_>>(),
        [told(SecretEventType::Snapshot, "a")]
    );
    assert!(watching.resume >= done.revision);
    room.create("c", "v").await;
    let (_, events) = Watching::synced(&room, after(watching.resume)).await;
    assert_eq!(events.iter().map(super::summary).collect::<Vec<_>>(), [told(SecretEventType::Created, "c")]);
}

/// The history goes through a rekey of the keyring, whose key seals it.
#[tokio::test]
async fn changes_are_told_with_their_revisions_after_a_rekey() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let (watching, _) = Watching::synced(&room, watch()).await;
    for number in 0..5 {
        room.create(&format!("s{number}"), "v").await;
    }
    let (_, before) = Watching::synced(&room, after(watching.resume)).await;
    assert_eq!(before.len(), 5);
    let rekey = room.root.operator().rotate_master_key(RotateMasterKeyRequest {}).await;
    let mut progress = rekey.unwrap().into_inner();
    while progress.message().await.unwrap().is_some() {}
    room.rotate("s1", "w").await;
    let (_, again) = Watching::synced(&room, after(watching.resume)).await;
    assert_eq!(again[..5], before);
    assert_eq!(super::summary(&again[5]), told(SecretEventType::Rotated, "s1"));
    let (_, rest) = Watching::synced(&room, after(before[2].revision)).await;
    assert_eq!(rest, again[3..]);
}

//! Compare-and-set: a change with an `etag` is made only if the secret is still in the state that the caller has seen.

use strongroom::api::v1::{DeleteSecretRequest, RotateSecretRequest, UpdateSecretRequest};
use tokio::task::JoinSet;
use tonic::Code;

use crate::caller::Room;
use crate::refusal::{not_found, refused};
use crate::requests::{Value, delete, describe, list, rename, rotate};

#[tokio::test]
async fn a_change_with_the_current_etag_is_made() {
    let room = Room::open().await;
    let mut etag = room.create("A", "v").await.etag;
    etag = room.update(UpdateSecretRequest { etag, ..describe("A", "d") }).await.etag;
    let request = RotateSecretRequest { etag, ..rotate("A", "w") };
    etag = room.secrets().rotate_secret(request).await.unwrap().into_inner().secret.unwrap().etag;
    etag = room.update(UpdateSecretRequest { etag, ..rename("A", "B") }).await.etag;
    room.secrets().delete_secret(DeleteSecretRequest { etag, ..delete("B") }).await.unwrap();
    assert_eq!(room.list(list()).await.total_size, 0);
}

#[tokio::test]
async fn get_list_and_changes_return_the_same_etag() {
    let room = Room::open().await;
    let mut told = room.create("A", "v").await.etag;
    for n in 0..3 {
        assert_eq!(room.get("A").await.etag, told);
        assert_eq!(room.list(list()).await.items[0].etag, told);
        told = if n == 0 {
            room.rotate("A", "w").await.etag
        } else {
            room.update(describe("A", "d")).await.etag
        };
    }
}

#[tokio::test]
async fn a_change_with_a_stale_etag_is_aborted_and_changes_nothing() {
    let room = Room::open().await;
    let etag = room.create("A", "v").await.etag;
    room.update(describe("A", "somebody else was here")).await;
    assert_mismatch(&room, &etag).await;
    // The earlier content again is still a new state.
    room.update(describe("A", "")).await;
    assert_mismatch(&room, &etag).await;
}

#[tokio::test]
async fn an_etag_of_another_secret_is_aborted() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let other = room.create("B", "v").await.etag;
    assert_mismatch(&room, &other).await;
}

#[tokio::test]
async fn an_etag_of_an_earlier_secret_with_the_same_name_is_aborted() {
    let room = Room::open().await;
    let earlier = room.create("A", "v").await.etag;
    room.delete("A").await;
    room.create("A", "v").await;
    assert_mismatch(&room, &earlier).await;
}

#[tokio::test]
async fn an_unknown_etag_changes_nothing() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let before = room.get("A").await;
    for etag in ["nonsense", "0", "*", " ", "\0", &before.etag.repeat(2), &format!("{}0", before.etag)] {
        let reply = room
            .secrets()
            .update_secret(UpdateSecretRequest { etag: etag.into(), ..describe("A", "d") })
            .await;
        let status = reply.expect_err("an etag that never was");
        let answer = (status.code(), crate::refusal::reason_of(&status));
        let mismatch = answer == (Code::Aborted, "ETAG_MISMATCH".into());
        assert!(
            mismatch || answer == (Code::InvalidArgument, "VALIDATION_FAILED".into()),
            "{etag:?}: {status:?}"
        );
    }
    assert_eq!(room.get("A").await, before);
}

#[tokio::test]
async fn a_missing_secret_is_not_found_whatever_the_etag() {
    let room = Room::open().await;
    let etag = room.create("A", "v").await.etag;
    room.delete("A").await;
    let request = UpdateSecretRequest { etag: etag.clone(), ..describe("A", "d") };
    not_found(room.secrets().update_secret(request).await, "A");
    not_found(room.secrets().delete_secret(DeleteSecretRequest { etag, ..delete("A") }).await, "A");
}

#[tokio::test]
async fn of_concurrent_updates_with_one_etag_exactly_one_wins() {
    let room = Room::open().await;
    let etag = room.create("A", "v").await.etag;
    let mut updates = JoinSet::new();
    for n in 0..24 {
        let (mut secrets, etag) = (room.secrets(), etag.clone());
        updates.spawn(async move {
            // Updates and rotations race each other too.
            if n % 2 == 0 {
                let request = UpdateSecretRequest { etag, ..describe("A", &n.to_string()) };
                secrets.update_secret(request).await.map(|_| n)
            } else {
                let request = RotateSecretRequest { etag, ..rotate("A", &n.to_string()) };
                secrets.rotate_secret(request).await.map(|_| n)
            }
        });
    }
    let mut won = Vec::new();
    while let Some(done) = updates.join_next().await {
        match done.unwrap() {
            Ok(n) => won.push(n),
            Err(status) => drop(refused::<()>(Err(status), Code::Aborted, "ETAG_MISMATCH")),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    let after = room.get("A").await;
    let winner = won[0].to_string();
    if won[0] % 2 == 0 {
        assert_eq!((after.description, after.version), (winner, 1));
    } else {
        assert_eq!((Value::of(&after), after.version), (Value::text(winner), 2));
    }
}

/// Asserts that every kind of change to `A` refuses this etag, and that `A` stays as it is.
async fn assert_mismatch(room: &Room, etag: &str) {
    let before = room.get("A").await;
    let etag = || etag.to_owned();
    let (aborted, mismatch) = (Code::Aborted, "ETAG_MISMATCH");
    let request = UpdateSecretRequest { etag: etag(), ..describe("A", "changed") };
    refused(room.secrets().update_secret(request).await, aborted, mismatch);
    let request = UpdateSecretRequest { etag: etag(), ..rename("A", "C") };
    refused(room.secrets().update_secret(request).await, aborted, mismatch);
    let request = RotateSecretRequest { etag: etag(), ..rotate("A", "changed") };
    refused(room.secrets().rotate_secret(request).await, aborted, mismatch);
    let request = DeleteSecretRequest { etag: etag(), ..delete("A") };
    refused(room.secrets().delete_secret(request).await, aborted, mismatch);
    assert_eq!(room.get("A").await, before);
}

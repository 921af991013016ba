//! DeleteSecret: it hides a secret at once and only once, and the name is free again.

use strongroom::api::v1::DeleteSecretRequest;
use tokio::task::JoinSet;

use crate::caller::Room;
use crate::create::ILLEGAL_NAMES;
use crate::refusal::{invalid, not_found};
use crate::requests::{Value, create, delete, describe, get, list, nanos, rename, rotate};

#[tokio::test]
async fn delete_returns_the_id_the_revision_and_the_time() {
    let room = Room::open().await;
    let secret = room.create("A", "v").await;
    let reply = room.secrets().delete_secret(delete("A")).await.unwrap().into_inner();
    assert_eq!(reply.id, secret.id);
    assert!(reply.revision > secret.revision);
    assert!(nanos(reply.deleted_at) >= nanos(secret.updated_at));
    let week = 7 * 24 * 60 * 60 * 1_000_000_000;
    assert_eq!(nanos(reply.purge_at), nanos(reply.deleted_at) + week);
}

#[tokio::test]
async fn a_deleted_secret_is_gone_from_every_call() {
    let room = Room::open().await;
    room.create("A", "v").await;
    room.create("B", "v").await;
    room.delete("A").await;
    not_found(room.secrets().get_secret(get("A")).await, "A");
    not_found(room.secrets().update_secret(describe("A", "d")).await, "A");
    not_found(room.secrets().update_secret(rename("A", "C")).await, "A");
    not_found(room.secrets().rotate_secret(rotate("A", "w")).await, "A");
    let page = room.list(list()).await;
    assert_eq!((crate::caller::names(&page), page.total_size), (vec!["B".to_owned()], 1));
}

#[tokio::test]
async fn the_second_delete_is_not_found() {
    let room = Room::open().await;
    room.create("A", "v").await;
    room.delete("A").await;
    not_found(room.secrets().delete_secret(delete("A")).await, "A");
    not_found(room.secrets().delete_secret(delete("never_was")).await, "never_was");
}

#[tokio::test]
async fn a_deleted_name_is_free_for_a_new_secret_with_a_new_id() {
    let room = Room::open().await;
    let mut ids = std::collections::BTreeSet::new();
    for n in 0..5 {
        let secret = room.create("A", &format!("life {n}")).await;
        assert!(ids.insert(secret.id.clone()), "an id was used twice");
        assert_eq!((secret.version, secret.rotated_at), (1, None));
        assert_eq!(secret.created_at, secret.updated_at);
        room.rotate("A", &format!("life {n}, second value")).await;
        assert_eq!(room.value("A").await, Value::text(format!("life {n}, second value")));
        room.delete("A").await;
    }
}

#[tokio::test]
async fn delete_affects_its_own_namespace_only() {
    let (here, there) = (Room::open().await, Room::open().await);
    here.create("A", "v").await;
    there.create("A", "v").await;
    here.delete("A").await;
    assert_eq!(there.value("A").await, Value::text("v"));
}

#[tokio::test]
async fn of_concurrent_deletes_exactly_one_wins() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let mut deletes = JoinSet::new();
    for _ in 0..16 {
        let mut secrets = room.secrets();
        deletes.spawn(async move { secrets.delete_secret(delete("A")).await });
    }
    let mut won = 0;
    while let Some(done) = deletes.join_next().await {
        match done.unwrap() {
            Ok(_) => won += 1,
            refusal => drop(not_found(refusal, "A")),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn delete_refuses_every_illegal_name() {
    let room = Room::open().await;
    for name in ILLEGAL_NAMES {
        invalid(room.secrets().delete_secret(delete(name)).await, &["name"]);
    }
}

#[tokio::test]
async fn delete_names_all_wrong_fields_at_once() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let request = DeleteSecretRequest {
        namespace: "Wrong".into(),
        name: "1".into(),
        request_id: "x".into(),
        ..Default::default()
    };
    invalid(room.root.secrets().delete_secret(request).await, &["name", "namespace", "request_id"]);

    // A request with an illegal request id must not delete the secret.
    let request = DeleteSecretRequest { request_id: "x".into(), ..delete("A") };
    invalid(room.secrets().delete_secret(request).await, &["request_id"]);
    assert_eq!(room.names().await, ["A"]);
}

#[tokio::test]
async fn a_namespace_that_was_emptied_can_be_filled_again() {
    let room = Room::open().await;
    for _ in 0..3 {
        room.create("A", "v").await;
        room.delete("A").await;
        assert_eq!(room.list(list()).await.total_size, 0);
    }
    room.secrets().create_secret(create("A", "v")).await.unwrap();
    assert_eq!(room.names().await, ["A"]);
}

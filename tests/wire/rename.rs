//! Renames, which are updates with `new_name`. A rename keeps everything else, and is made whole or not at all.

use strongroom::api::v1::{CreateSecretRequest, Secret, UpdateSecretRequest};
use tokio::task::JoinSet;

use crate::caller::Room;
use crate::create::ILLEGAL_NAMES;
use crate::refusal::{invalid, not_found, taken};
use crate::requests::{Value, create, describe, get, list, nanos, pairs, rename, text};

#[tokio::test]
async fn rename_keeps_everything_else() {
    let room = Room::open().await;
    let request = CreateSecretRequest {
        description: "kept".into(),
        metadata: pairs(&[("also", "kept")]),
        ..create("A", "the value")
    };
    room.create_with(request).await;
    room.rotate("A", "the second value").await;
    let before = room.get("A").await;

    let reply = room.update(rename("A", "B")).await;
    assert_eq!((reply.name.as_str(), Value::of(&reply)), ("B", Value::Redacted));
    let after = room.get("B").await;
    assert!(nanos(after.updated_at) > nanos(before.updated_at));
    assert!(after.revision > before.revision);
    assert_ne!(after.etag, before.etag);
    let expected = Secret {
        name: "B".into(),
        updated_at: after.updated_at,
        revision: after.revision,
        etag: after.etag.clone(),
        ..before
    };
    assert_eq!(after, expected);
}

#[tokio::test]
async fn the_old_name_is_not_found_and_free_again() {
    let room = Room::open().await;
    let first = room.create("A", "first").await;
    room.update(rename("A", "B")).await;
    not_found(room.secrets().get_secret(get("A")).await, "A");
    not_found(room.secrets().update_secret(describe("A", "d")).await, "A");
    assert_eq!(room.names().await, ["B"]);

    let second = room.create("A", "second").await;
    assert_ne!(second.id, first.id);
    assert_eq!((room.value("A").await, room.value("B").await), (Value::text("second"), Value::text("first")));
    assert_eq!(room.get("B").await.id, first.id);
}

#[tokio::test]
async fn rename_onto_a_taken_name_changes_neither_secret() {
    let room = Room::open().await;
    room.create("A", "a").await;
    room.create("B", "b").await;
    let before = (room.get("A").await, room.get("B").await);
    let everything = UpdateSecretRequest {
        value: text("changed"),
        description: Some("changed".into()),
        metadata: pairs(&[("changed", "yes")]),
        ..rename("A", "B")
    };
    for request in [rename("A", "B"), everything] {
        taken(room.secrets().update_secret(request).await, "B");
        assert_eq!((room.get("A").await, room.get("B").await), before);
    }
    assert_eq!(room.list(list()).await.total_size, 2);
}

#[tokio::test]
async fn rename_to_an_illegal_name_changes_nothing() {
    let room = Room::open().await;
    room.create("A", "a").await;
    let before = room.get("A").await;
    let too_long = "n".repeat(129);
    for name in ILLEGAL_NAMES.into_iter().chain([too_long.as_str()]) {
        let request = UpdateSecretRequest { value: text("changed"), ..rename("A", name) };
        invalid(room.secrets().update_secret(request).await, &["new_name"]);
    }
    assert_eq!(room.get("A").await, before);
    assert_eq!(room.names().await, ["A"]);
}

#[tokio::test]
async fn rename_of_a_missing_secret_is_not_found_whether_or_not_the_new_name_is_taken() {
    let room = Room::open().await;
    room.create("B", "b").await;
    not_found(room.secrets().update_secret(rename("A", "free")).await, "A");
    not_found(room.secrets().update_secret(rename("A", "B")).await, "A");
    assert_eq!(room.names().await, ["B"]);
}

#[tokio::test]
async fn rename_onto_itself_keeps_the_secret() {
    let room = Room::open().await;
    room.create("A", "a").await;
    let before = room.get("A").await;
    room.update(rename("A", "A")).await;
    let after = room.get("A").await;
    let same = |secret: Secret| (secret.id, secret.name, secret.created_at, secret.version, secret.value);
    assert_eq!(same(after), same(before));
    assert_eq!(room.list(list()).await.total_size, 1);
}

#[tokio::test]
async fn rename_can_change_only_the_case() {
    let room = Room::open().await;
    room.create("key", "v").await;
    room.update(rename("key", "KEY")).await;
    assert_eq!(room.names().await, ["KEY"]);
    not_found(room.secrets().get_secret(get("key")).await, "key");
}

#[tokio::test]
async fn a_secret_can_be_renamed_back_and_forth() {
    let room = Room::open().await;
    let id = room.create("A", "v").await.id;
    for _ in 0..10 {
        room.update(rename("A", "B")).await;
        room.update(rename("B", "A")).await;
    }
    assert_eq!(room.names().await, ["A"]);
    assert_eq!(room.get("A").await.id, id);
}

#[tokio::test]
async fn of_concurrent_renames_onto_one_name_exactly_one_wins() {
    let room = Room::open().await;
    let mut renames = JoinSet::new();
    for n in 0..16 {
        let name = format!("n{n}");
        room.create(&name, &name).await;
        let mut secrets = room.secrets();
        renames.spawn(async move { (secrets.update_secret(rename(&name, "wanted")).await, name) });
    }
    let mut won = Vec::new();
    while let Some(done) = renames.join_next().await {
        match done.unwrap() {
            (Ok(_), name) => won.push(name),
            (refusal, _) => drop(taken(refusal, "wanted")),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(room.value("wanted").await, Value::text(won[0].as_str()));
    not_found(room.secrets().get_secret(get(&won[0])).await, &won[0]);
    assert_eq!(room.list(list()).await.total_size, 16);
}

#[tokio::test]
async fn a_rename_and_a_create_of_the_same_name_do_not_both_win() {
    let room = Room::open().await;
    for n in 0..10 {
        let (from, to) = (format!("from{n}"), format!("to{n}"));
        room.create(&from, "renamed").await;
        let (mut one, mut other) = (room.secrets(), room.secrets());
        let (renamed, created) =
            tokio::join!(one.update_secret(rename(&from, &to)), other.create_secret(create(&to, "created")));
        match (renamed, created) {
            (Ok(_), refusal) => {
                taken(refusal, &to);
                assert_eq!(room.value(&to).await, Value::text("renamed"));
                not_found(room.secrets().get_secret(get(&from)).await, &from);
            }
            (refusal, _) => {
                taken(refusal, &to);
                assert_eq!(room.value(&to).await, Value::text("created"));
                assert_eq!(room.value(&from).await, Value::text("renamed"));
            }
        }
    }
}

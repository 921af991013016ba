//! RotateSecret: one atomic step. The guide's own rotation, which takes several steps, works too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom::api::v1::{CreateSecretRequest, RotateSecretRequest, Secret, UpdateSecretRequest};
use tokio::task::JoinSet;
use tonic::Code;

use crate::caller::Room;
use crate::create::ILLEGAL_NAMES;
use crate::refusal::{invalid, not_found, refused};
use crate::requests::{
    MAX_VALUE, Value, binary, create, describe, get, list, mask, nanos, pairs, rename, rotate, text, update,
};

#[tokio::test]
async fn rotate_sets_the_next_version_and_keeps_everything_else() {
    let room = Room::open().await;
    let request = CreateSecretRequest {
        description: "kept".into(),
        metadata: pairs(&[("also", "kept")]),
        ..create("A", "one")
    };
    room.create_with(request).await;
    let mut before = room.get("A").await;
    for version in 2..=5 {
        let value = format!("value {version}");
        let reply = room.secrets().rotate_secret(rotate("A", &value)).await.unwrap().into_inner();
        assert_eq!(reply.version, version);
        let after = room.get("A").await;
        assert_eq!(Value::of(&after), Value::text(value));
        assert!(nanos(after.updated_at) > nanos(before.updated_at));
        assert!(after.revision > before.revision);
        assert_eq!(reply.revision, after.revision);
        assert_ne!(after.etag, before.etag);
        assert_eq!(after.rotated_at, after.updated_at);
        let expected = Secret {
            value: after.value.clone(),
            version,
            updated_at: after.updated_at,
            rotated_at: after.rotated_at,
            revision: after.revision,
            etag: after.etag.clone(),
            ..before
        };
        assert_eq!(after, expected);
        assert_eq!(reply.secret.unwrap(), Secret { value: Value::Redacted.sent(), ..after.clone() });
        before = after;
    }
}

#[tokio::test]
async fn rotated_at_changes_with_new_values_only() {
    let room = Room::open().await;
    room.create("A", "one").await;
    room.update(describe("A", "d")).await;
    assert_eq!(room.get("A").await.rotated_at, None);
    let rotated = room.rotate("A", "two").await;
    room.update(UpdateSecretRequest { update_mask: mask(&["description"]), ..update("A") }).await;
    room.update(rename("A", "B")).await;
    assert_eq!(room.get("B").await.rotated_at, rotated.rotated_at);
}

#[tokio::test]
async fn a_rotation_may_change_the_kind_of_value() {
    let room = Room::open().await;
    room.create("A", "text").await;
    for value in [Value::Binary(vec![0, 159]), Value::text(""), Value::Binary(vec![]), Value::text("text")] {
        let request = RotateSecretRequest { value: value.sent(), ..rotate("A", "") };
        room.secrets().rotate_secret(request).await.unwrap();
        assert_eq!(room.value("A").await, value);
    }
}

#[tokio::test]
async fn rotate_of_a_missing_secret_is_not_found_and_creates_none() {
    let room = Room::open().await;
    not_found(room.secrets().rotate_secret(rotate("absent", "v")).await, "absent");
    assert_eq!(room.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn rotate_refuses_every_illegal_name() {
    let room = Room::open().await;
    for name in ILLEGAL_NAMES {
        invalid(room.secrets().rotate_secret(rotate(name, "v")).await, &["name"]);
    }
}

#[tokio::test]
async fn rotate_refuses_too_large_values_and_names_all_wrong_fields_at_once() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let before = room.get("A").await;
    let large = RotateSecretRequest { value: binary(vec![0; MAX_VALUE + 1]), ..rotate("A", "") };
    invalid(room.secrets().rotate_secret(large.clone()).await, &["value"]);
    let all = RotateSecretRequest {
        namespace: "/".into(),
        name: "1".into(),
        return_value: true,
        request_id: "1".into(),
        ..large
    };
    let fields = ["name", "namespace", "request_id", "return_value", "value"];
    invalid(room.root.secrets().rotate_secret(all).await, &fields);
    assert_eq!(room.get("A").await, before);

    let largest = RotateSecretRequest { value: text("x".repeat(MAX_VALUE)), ..rotate("A", "") };
    room.secrets().rotate_secret(largest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_the_old_or_the_new_value_and_nothing_else() {
    let room = Room::open().await;
    room.create("A", "value 1").await;
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let (caller, done) = (room.caller.clone(), Arc::clone(&done));
        readers.spawn(async move {
            let (mut last, mut seen) = (0, 0);
            loop {
                // Loaded before the read, so that the last read comes after the last rotation.
                let finished = done.load(Ordering::SeqCst);
                let read = caller.get("A").await;
                assert_eq!(Value::of(&read), Value::text(format!("value {}", read.version)));
                assert!(read.version >= last, "version {} after version {last}", read.version);
                if read.version > last {
                    (last, seen) = (read.version, seen + 1);
                }
                if finished {
                    return (last, seen);
                }
            }
        });
    }
    for version in 2..=100 {
        assert_eq!(room.rotate("A", &format!("value {version}")).await.version, version);
    }
    done.store(true, Ordering::SeqCst);
    let mut versions_seen = 0;
    while let Some(reader) = readers.join_next().await {
        let (last, seen) = reader.unwrap();
        assert_eq!(last, 100, "a read after the last rotation did not see it");
        versions_seen += seen;
    }
    assert!(versions_seen > 4, "the readers never read during the rotations");
}

#[tokio::test]
async fn concurrent_rotations_each_make_a_version_of_their_own() {
    let room = Room::open().await;
    room.create("A", "start").await;
    let mut rotations = JoinSet::new();
    for n in 0..24 {
        let mut secrets = room.secrets();
        rotations.spawn(async move {
            let value = format!("value {n}");
            (secrets.rotate_secret(rotate("A", &value)).await, value)
        });
    }
    let mut made = std::collections::BTreeMap::new();
    while let Some(done) = rotations.join_next().await {
        match done.unwrap() {
            (Ok(reply), value) => {
                let reply = reply.into_inner();
                assert_eq!(reply.secret.unwrap().version, reply.version);
                assert!(
                    made.insert(reply.version, value).is_none(),
                    "version {} was made twice",
                    reply.version
                );
            }
            (lost, _) => drop(refused(lost, Code::Aborted, "CONTENDED")),
        }
    }
    let after = room.get("A").await;
    let versions: Vec<u32> = made.keys().copied().collect();
    assert_eq!(versions, (2..=after.version).collect::<Vec<_>>());
    assert_eq!(Value::of(&after), Value::text(made[&after.version].clone()));
}

#[tokio::test]
async fn the_guides_own_rotation_works_step_by_step() {
    let room = Room::open().await;
    let request = CreateSecretRequest {
        description: "Stripe API key for payment processing".into(),
        metadata: pairs(&[("environment", "production")]),
        ..create("stripe_api_key", "sk_test_old")
    };
    let old_id = room.create_with(request).await.id;

    // rotate_secret(client, "stripe_api_key", "sk_test_new")
    let temporary = "stripe_api_key_rotation_0a1b2c3d";
    let request = CreateSecretRequest {
        description: "Temporary rotation for stripe_api_key".into(),
        metadata: pairs(&[("rotation_date", "2025-05-10T12:00:00.000001")]),
        ..create(temporary, "sk_test_new")
    };
    let new_id = room.create_with(request).await.id;
    let old = room.get("stripe_api_key").await;
    let mut archived = old.metadata.clone();
    archived.insert("archived".into(), "true".into());
    archived.insert("replaced_by".into(), temporary.into());
    room.update(UpdateSecretRequest { metadata: archived.clone(), ..update("stripe_api_key") }).await;
    assert_eq!(room.get("stripe_api_key").await.metadata, archived);
    room.delete("stripe_api_key").await;
    let request = UpdateSecretRequest {
        description: Some(old.description.clone()),
        metadata: pairs(&[("last_rotated", "2025-05-10T12:00:01")]),
        ..rename(temporary, "stripe_api_key")
    };
    room.update(request).await;
    let rotated = room.get("stripe_api_key").await;

    assert_eq!(Value::of(&rotated), Value::text("sk_test_new"));
    assert_eq!(rotated.description, "Stripe API key for payment processing");
    assert_eq!(rotated.metadata, pairs(&[("last_rotated", "2025-05-10T12:00:01")]));
    assert_eq!(rotated.id, new_id);
    assert_ne!(rotated.id, old_id);
    assert_eq!(rotated.version, 1);
    not_found(room.secrets().get_secret(get(temporary)).await, temporary);
    assert_eq!(room.list(list()).await.total_size, 1);
}

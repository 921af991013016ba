//! UpdateSecret: it changes only the fields that it names. Renames are tested in `rename`.

use std::collections::BTreeSet;

use strongroom::api::v1::{CreateSecretRequest, RotationPolicy, Secret, SecretValue, UpdateSecretRequest};
use tokio::task::JoinSet;
use tonic::Code;

use crate::caller::Room;
use crate::create::ILLEGAL_NAMES;
use crate::refusal::{fields_of, invalid, not_found, refused};
use crate::requests::{
    MAX_VALUE, Value, binary, create, describe, list, many_pairs, mask, nanos, pairs, text, update,
};

#[tokio::test]
async fn update_of_the_description_keeps_everything_else() {
    let (room, before) = full().await;
    let reply = room.update(describe("A", "new")).await;
    let after = room.get("A").await;
    assert_eq!(after, Secret { description: "new".into(), ..advanced(&before, &after) });
    assert_eq!(reply, redacted(&after));
}

#[tokio::test]
async fn update_of_the_metadata_replaces_the_whole_map_and_keeps_everything_else() {
    let (room, before) = full().await;
    let metadata = pairs(&[("rotated", "2025-05-10")]);
    let reply = room.update(UpdateSecretRequest { metadata: metadata.clone(), ..update("A") }).await;
    let after = room.get("A").await;
    assert_eq!(after, Secret { metadata, ..advanced(&before, &after) });
    assert_eq!(reply, redacted(&after));
}

#[tokio::test]
async fn update_of_the_value_makes_a_new_version_and_keeps_everything_else() {
    let (room, before) = full().await;
    let reply = room.update(UpdateSecretRequest { value: binary([0, 255]), ..update("A") }).await;
    let after = room.get("A").await;
    assert_eq!(Value::of(&after), Value::Binary(vec![0, 255]));
    assert_eq!(after.version, before.version + 1);
    assert_eq!(after.rotated_at, after.updated_at);
    let changed = Secret {
        value: after.value.clone(),
        version: 2,
        rotated_at: after.rotated_at,
        ..advanced(&before, &after)
    };
    assert_eq!(after, changed);
    assert_eq!(reply, redacted(&after));
}

#[tokio::test]
async fn update_changes_everything_in_one_step() {
    let (room, before) = full().await;
    let request = UpdateSecretRequest {
        new_name: Some("B".into()),
        value: text("new value"),
        description: Some("new".into()),
        metadata: pairs(&[("new", "pair")]),
        ..update("A")
    };
    let reply = room.update(request).await;
    let after = room.get("B").await;
    assert_eq!((Value::of(&after), after.version), (Value::text("new value"), 2));
    assert_eq!((after.description.as_str(), &after.metadata), ("new", &pairs(&[("new", "pair")])));
    assert_eq!((&after.id, after.created_at), (&before.id, before.created_at));
    assert_eq!(reply, redacted(&after));
    assert_eq!(room.names().await, ["B"]);
}

#[tokio::test]
async fn a_value_can_be_updated_to_the_empty_one() {
    let (room, _) = full().await;
    room.update(UpdateSecretRequest { value: text(""), ..update("A") }).await;
    assert_eq!(room.value("A").await, Value::text(""));
}

#[tokio::test]
async fn a_description_that_is_present_and_empty_clears_it() {
    let (room, before) = full().await;
    room.update(describe("A", "")).await;
    let after = room.get("A").await;
    assert_eq!(after, Secret { description: String::new(), ..advanced(&before, &after) });
}

#[tokio::test]
async fn the_update_mask_clears_what_it_names() {
    let (room, before) = full().await;
    room.update(UpdateSecretRequest { update_mask: mask(&["metadata"]), ..update("A") }).await;
    let cleared = room.get("A").await;
    assert_eq!(cleared, Secret { metadata: pairs(&[]), ..advanced(&before, &cleared) });

    room.update(UpdateSecretRequest { update_mask: mask(&["description"]), ..update("A") }).await;
    let cleared_twice = room.get("A").await;
    assert_eq!(cleared_twice, Secret { description: String::new(), ..advanced(&cleared, &cleared_twice) });
}

#[tokio::test]
async fn the_update_mask_clears_several_fields_at_once() {
    let (room, before) = full().await;
    room.update(UpdateSecretRequest { update_mask: mask(&["description", "metadata"]), ..update("A") }).await;
    let after = room.get("A").await;
    let expected = Secret { metadata: pairs(&[]), description: String::new(), ..advanced(&before, &after) };
    assert_eq!(after, expected);
}

#[tokio::test]
async fn the_update_mask_may_name_fields_that_are_given() {
    let (room, _) = full().await;
    let request = UpdateSecretRequest {
        new_name: Some("B".into()),
        value: text("new"),
        description: Some("described".into()),
        metadata: pairs(&[("k", "v")]),
        update_mask: mask(&["new_name", "value", "description", "metadata"]),
        ..update("A")
    };
    room.update(request).await;
    let after = room.get("B").await;
    assert_eq!((Value::of(&after), after.description.as_str()), (Value::text("new"), "described"));
    assert_eq!(after.metadata, pairs(&[("k", "v")]));
}

#[tokio::test]
async fn update_refuses_an_unknown_path_in_the_mask() {
    let (room, before) = full().await;
    for path in
        ["", "*", "id", "created_at", "version", "nonsense", "metadata.team", "Description", "description "]
    {
        let request = UpdateSecretRequest {
            description: Some("changed".into()),
            update_mask: mask(&["description", path]),
            ..update("A")
        };
        invalid(room.secrets().update_secret(request).await, &["update_mask"]);
    }
    assert_eq!(room.get("A").await, before);
}

#[tokio::test]
async fn the_update_mask_cannot_clear_the_value_or_the_name() {
    let (room, before) = full().await;
    for path in ["value", "new_name"] {
        let request = UpdateSecretRequest { update_mask: mask(&[path]), ..update("A") };
        let status =
            refused(room.secrets().update_secret(request).await, Code::InvalidArgument, "VALIDATION_FAILED");
        let fields = fields_of(&status);
        assert!(fields.contains("update_mask") || fields.contains(path), "{status:?}");
    }
    assert_eq!(room.get("A").await, before);
}

#[tokio::test]
async fn update_refuses_a_request_that_changes_nothing() {
    let (room, before) = full().await;
    let request_id = uuid::Uuid::new_v4().to_string();
    for request in [
        update("A"),
        UpdateSecretRequest { etag: before.etag.clone(), ..update("A") },
        UpdateSecretRequest { request_id, ..update("A") },
        UpdateSecretRequest { update_mask: mask(&[]), ..update("A") },
    ] {
        refused(room.secrets().update_secret(request).await, Code::InvalidArgument, "VALIDATION_FAILED");
    }
    assert_eq!(room.get("A").await, before);
}

#[tokio::test]
async fn update_to_what_the_secret_has_changes_nothing() {
    let (room, before) = full().await;
    let policy = RotationPolicy {
        interval: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        ..RotationPolicy::default()
    };
    let with_policy = UpdateSecretRequest { rotation_policy: Some(policy), ..update("A") };
    let cleared = UpdateSecretRequest { update_mask: mask(&["rotation_policy"]), ..update("A") };
    let same = UpdateSecretRequest {
        description: Some(before.description.clone()),
        metadata: before.metadata.clone(),
        update_mask: mask(&["description", "metadata"]),
        ..update("A")
    };
    for request in [cleared.clone(), same] {
        room.secrets().update_secret(request).await.unwrap();
        assert_eq!(room.get("A").await, before);
    }
    let changed =
        room.secrets().update_secret(with_policy.clone()).await.unwrap().into_inner().secret.unwrap();
    assert_ne!(changed.etag, before.etag);
    let again = room.secrets().update_secret(with_policy).await.unwrap().into_inner().secret.unwrap();
    assert_eq!((again.etag, again.next_rotation_at), (changed.etag, changed.next_rotation_at));
    room.secrets().update_secret(cleared).await.unwrap();
    assert_eq!(room.get("A").await.rotation_policy, None);
}

#[tokio::test]
async fn update_of_a_missing_secret_is_not_found() {
    let room = Room::open().await;
    not_found(room.secrets().update_secret(describe("absent", "d")).await, "absent");
    assert_eq!(room.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn update_refuses_every_illegal_name() {
    let room = Room::open().await;
    for name in ILLEGAL_NAMES {
        invalid(room.secrets().update_secret(describe(name, "d")).await, &["name"]);
    }
}

#[tokio::test]
async fn update_refuses_values_beyond_the_limits_and_changes_nothing() {
    let (room, before) = full().await;
    for (request, field) in [
        (UpdateSecretRequest { value: text("x".repeat(MAX_VALUE + 1)), ..update("A") }, "value"),
        (UpdateSecretRequest { value: binary(vec![0; MAX_VALUE + 1]), ..update("A") }, "value"),
        (UpdateSecretRequest { value: Some(SecretValue { kind: None }), ..update("A") }, "value"),
        (UpdateSecretRequest { value: Value::Redacted.sent(), ..update("A") }, "value"),
        (describe("A", &"d".repeat(1025)), "description"),
        (UpdateSecretRequest { metadata: many_pairs(65), ..update("A") }, "metadata"),
        (UpdateSecretRequest { metadata: pairs(&[("", "v")]), ..update("A") }, "metadata"),
        (UpdateSecretRequest { metadata: pairs(&[("k", &"v".repeat(513))]), ..update("A") }, "metadata"),
        (UpdateSecretRequest { request_id: "not a uuid".into(), ..describe("A", "d") }, "request_id"),
    ] {
        invalid(room.secrets().update_secret(request).await, &[field]);
    }
    // A legal field beside an illegal one: neither is changed.
    let half = UpdateSecretRequest { metadata: many_pairs(65), value: text("new"), ..describe("A", "new") };
    invalid(room.secrets().update_secret(half).await, &["metadata"]);
    assert_eq!(room.get("A").await, before);

    room.update(UpdateSecretRequest { value: text("x".repeat(MAX_VALUE)), ..update("A") }).await;
    assert_eq!(room.value("A").await, Value::text("x".repeat(MAX_VALUE)));
}

#[tokio::test]
async fn update_names_all_wrong_fields_at_once() {
    let room = Room::open().await;
    let request = UpdateSecretRequest {
        namespace: "-".into(),
        name: "a b".into(),
        new_name: Some("c d".into()),
        value: text("x".repeat(MAX_VALUE + 1)),
        description: Some("d".repeat(1025)),
        metadata: many_pairs(65),
        update_mask: mask(&["nonsense"]),
        request_id: "1".into(),
        ..Default::default()
    };
    let fields =
        ["description", "metadata", "name", "namespace", "new_name", "request_id", "update_mask", "value"];
    invalid(room.root.secrets().update_secret(request).await, &fields);
}

#[tokio::test]
async fn updated_at_and_revision_advance_with_every_change() {
    let room = Room::open().await;
    let mut last = room.create("A", "v").await;
    let mut etags = BTreeSet::from([last.etag.clone()]);
    for n in 0..100 {
        let next = room.update(describe("A", &n.to_string())).await;
        assert!(
            nanos(next.updated_at) > nanos(last.updated_at),
            "{:?} after {:?}",
            next.updated_at,
            last.updated_at
        );
        assert!(next.revision > last.revision);
        assert!(etags.insert(next.etag.clone()), "an etag was used twice");
        last = next;
    }
}

#[tokio::test]
async fn concurrent_updates_of_different_fields_lose_nothing() {
    let room = Room::open().await;
    room.create("A", "start").await;
    let mut updates = JoinSet::new();
    for n in 0..8 {
        for request in [
            UpdateSecretRequest { value: text(format!("value {n}")), ..update("A") },
            describe("A", &format!("description {n}")),
            UpdateSecretRequest { metadata: pairs(&[("n", &n.to_string())]), ..update("A") },
        ] {
            let mut secrets = room.secrets();
            updates.spawn(async move { (request.value.is_some(), secrets.update_secret(request).await) });
        }
    }
    let (mut new_values, mut versions) = (0, BTreeSet::new());
    while let Some(done) = updates.join_next().await {
        match done.unwrap() {
            (true, Ok(reply)) => {
                new_values += 1;
                versions.insert(reply.into_inner().secret.unwrap().version);
            }
            (false, Ok(_)) => {}
            (_, lost) => drop(refused(lost, Code::Aborted, "CONTENDED")),
        }
    }
    assert_eq!(versions, (2..2 + new_values).collect(), "each new value has a version of its own");
    let after = room.get("A").await;
    assert_eq!(after.version, 1 + new_values);
    assert!(matches!(Value::of(&after), Value::Text(value) if value.starts_with("value ")));
    assert!(after.description.starts_with("description "));
    assert!(after.metadata.contains_key("n"));
    assert_eq!(room.list(list()).await.items, [redacted(&after)]);
}

/// A room with the secret `A`, which has every field set.
async fn full() -> (Room, Secret) {
    let room = Room::open().await;
    let request = CreateSecretRequest {
        description: "old".into(),
        metadata: pairs(&[("environment", "production"), ("team", "payments")]),
        ..create("A", "old value")
    };
    room.create_with(request).await;
    let secret = room.get("A").await;
    (room, secret)
}

/// The secret as it was, with the time, revision and etag of a later state. Asserts that all three have changed.
#[track_caller]
fn advanced(before: &Secret, after: &Secret) -> Secret {
    assert!(nanos(after.updated_at) > nanos(before.updated_at), "updated_at did not advance");
    assert!(after.revision > before.revision, "the revision did not advance");
    assert_ne!(after.etag, before.etag, "the etag stayed");
    Secret {
        updated_at: after.updated_at,
        revision: after.revision,
        etag: after.etag.clone(),
        ..before.clone()
    }
}

/// The secret as a reply without values shows it.
fn redacted(secret: &Secret) -> Secret {
    Secret { value: Value::Redacted.sent(), ..secret.clone() }
}

//! A `request_id` sent again returns the first outcome and changes nothing.

use std::collections::BTreeSet;

use strongroom::api::v1::{
    CreateSecretRequest, CreateSecretResponse, DeleteSecretRequest, DestroyVersionRequest,
    DisableVersionRequest, EnableVersionRequest, RotateSecretRequest, Secret, UpdateSecretRequest,
    VersionState,
};
use tokio::task::JoinSet;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::caller::Room;
use crate::harness::Launch;
use crate::refusal::{denied, invalid, not_found, refused};
use crate::requests::{
    Value, create, delete, describe, destroy, disable, enable, get, list, pairs, password, random_uuid,
    rename, rotate, text,
};

#[tokio::test]
async fn a_repeated_create_returns_the_first_outcome() {
    let room = Room::open().await;
    let request = CreateSecretRequest { request_id: fresh(), ..create("A", "v") };
    let first = room.secrets().create_secret(request.clone()).await.unwrap().into_inner();
    let kept = room.get("A").await;
    for _ in 0..3 {
        assert_eq!(room.secrets().create_secret(request.clone()).await.unwrap().into_inner(), first);
    }
    assert_eq!(room.get("A").await, kept);
    assert_eq!(room.list(list()).await.total_size, 1);
}

#[tokio::test]
async fn a_repeated_create_returns_the_first_outcome_after_later_changes() {
    let room = Room::open().await;
    let request = CreateSecretRequest { request_id: fresh(), ..create("A", "v") };
    let first = room.secrets().create_secret(request.clone()).await.unwrap().into_inner();
    room.rotate("A", "changed").await;
    let changed = room.get("A").await;
    assert_eq!(
        outcome(room.secrets().create_secret(request.clone()).await),
        outcome(Ok(Response::new(first.clone())))
    );
    assert_eq!(room.get("A").await, changed);

    room.delete("A").await;
    assert_eq!(outcome(room.secrets().create_secret(request).await), outcome(Ok(Response::new(first))));
    not_found(room.secrets().get_secret(get("A")).await, "A");
}

#[tokio::test]
async fn a_repeated_update_returns_the_first_outcome() {
    let room = Room::open().await;
    // At the time of the repeat the etag is stale and the name is gone. Neither may make the repeat fail.
    let etag = room.create("A", "v").await.etag;
    let request = UpdateSecretRequest { etag, value: text("w"), request_id: fresh(), ..rename("A", "B") };
    let first = room.secrets().update_secret(request.clone()).await.unwrap().into_inner();
    let kept = room.get("B").await;
    for _ in 0..3 {
        assert_eq!(room.secrets().update_secret(request.clone()).await.unwrap().into_inner(), first);
    }
    assert_eq!(room.get("B").await, kept);
    assert_eq!(kept.version, 2);
}

#[tokio::test]
async fn a_repeated_rotation_returns_the_first_outcome() {
    let room = Room::open().await;
    let etag = room.create("A", "v").await.etag;
    let request = RotateSecretRequest { etag, request_id: fresh(), ..rotate("A", "w") };
    let first = room.secrets().rotate_secret(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.version, 2);
    let kept = room.get("A").await;
    for _ in 0..3 {
        assert_eq!(room.secrets().rotate_secret(request.clone()).await.unwrap().into_inner(), first);
    }
    assert_eq!(room.get("A").await, kept);

    let newer = room.rotate("A", "x").await;
    let again = room.secrets().rotate_secret(request).await.unwrap().into_inner();
    assert_eq!((again.version, again.revision), (first.version, first.revision));
    assert_eq!(room.get("A").await.etag, newer.etag);
}

#[tokio::test]
async fn a_repeated_delete_returns_the_first_outcome_and_spares_a_new_secret() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let request = DeleteSecretRequest { request_id: fresh(), ..delete("A") };
    let first = room.secrets().delete_secret(request.clone()).await.unwrap().into_inner();
    assert_eq!(room.secrets().delete_secret(request.clone()).await.unwrap().into_inner(), first);

    let another = room.create("A", "another").await;
    assert_eq!(room.secrets().delete_secret(request).await.unwrap().into_inner(), first);
    assert_eq!(room.get("A").await.id, another.id);
}

#[tokio::test]
async fn a_request_id_with_another_body_is_refused_and_changes_nothing() {
    let room = Room::open().await;
    let request_id = fresh();
    let id = || request_id.clone();
    room.create_with(CreateSecretRequest { request_id: id(), ..create("A", "v") }).await;
    let before = room.get("A").await;

    for other in [
        CreateSecretRequest { request_id: id(), ..create("B", "v") },
        CreateSecretRequest { request_id: id(), ..create("A", "another value") },
        CreateSecretRequest { request_id: id(), description: "d".into(), ..create("A", "v") },
    ] {
        reused(room.secrets().create_secret(other).await);
    }
    reused(
        room.secrets().update_secret(UpdateSecretRequest { request_id: id(), ..describe("A", "d") }).await,
    );
    reused(room.secrets().rotate_secret(RotateSecretRequest { request_id: id(), ..rotate("A", "v") }).await);
    reused(room.secrets().delete_secret(DeleteSecretRequest { request_id: id(), ..delete("A") }).await);
    assert_eq!(room.get("A").await, before);
    assert_eq!(room.names().await, ["A"]);
}

#[tokio::test]
async fn a_request_id_is_bound_to_the_body_for_every_kind_of_change() {
    let room = Room::open().await;
    room.create("A", "v").await;
    room.create("B", "v").await;
    let request_id = fresh();
    room.update(UpdateSecretRequest { request_id: request_id.clone(), ..describe("A", "d") }).await;
    reused(room.secrets().update_secret(UpdateSecretRequest { request_id, ..describe("A", "e") }).await);

    let request_id = fresh();
    let request = RotateSecretRequest { request_id: request_id.clone(), ..rotate("A", "w") };
    room.secrets().rotate_secret(request).await.unwrap();
    reused(room.secrets().rotate_secret(RotateSecretRequest { request_id, ..rotate("A", "x") }).await);

    let request_id = fresh();
    let request = DeleteSecretRequest { request_id: request_id.clone(), ..delete("A") };
    room.secrets().delete_secret(request).await.unwrap();
    reused(room.secrets().delete_secret(DeleteSecretRequest { request_id, ..delete("B") }).await);
    assert_eq!(room.names().await, ["B"]);
}

#[tokio::test]
async fn a_request_id_must_be_a_uuid() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let before = room.get("A").await;
    let uuid = fresh();
    for request_id in ["x", "123", " ", &uuid[1..], &format!("{uuid}0"), &format!(" {uuid}"), &"z".repeat(36)]
    {
        let id = || request_id.to_owned();
        let request = CreateSecretRequest { request_id: id(), ..create("B", "v") };
        invalid(room.secrets().create_secret(request).await, &["request_id"]);
        let request = UpdateSecretRequest { request_id: id(), ..describe("A", "d") };
        invalid(room.secrets().update_secret(request).await, &["request_id"]);
        let request = RotateSecretRequest { request_id: id(), ..rotate("A", "w") };
        invalid(room.secrets().rotate_secret(request).await, &["request_id"]);
        let request = DeleteSecretRequest { request_id: id(), ..delete("A") };
        invalid(room.secrets().delete_secret(request).await, &["request_id"]);
    }
    assert_eq!(room.get("A").await, before);
    assert_eq!(room.names().await, ["A"]);
}

#[tokio::test]
async fn concurrent_creates_with_one_request_id_all_return_the_same_secret() {
    let room = Room::open().await;
    let request = CreateSecretRequest { request_id: fresh(), ..create("A", "v") };
    let mut creates = JoinSet::new();
    for _ in 0..24 {
        let (mut secrets, request) = (room.secrets(), request.clone());
        creates.spawn(async move { outcome(secrets.create_secret(request).await) });
    }
    let outcomes: BTreeSet<_> = creates.join_all().await.into_iter().collect();
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    assert_eq!(room.list(list()).await.total_size, 1);
}

#[tokio::test]
async fn concurrent_rotations_with_one_request_id_make_one_version() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let request = RotateSecretRequest {
        value: None,
        generate: password(None, ""),
        request_id: fresh(),
        ..rotate("A", "")
    };
    let mut rotations = JoinSet::new();
    for _ in 0..24 {
        let (mut secrets, request) = (room.secrets(), request.clone());
        rotations.spawn(async move { secrets.rotate_secret(request).await.map(Response::into_inner) });
    }
    for reply in rotations.join_all().await {
        assert_eq!(reply.unwrap().version, 2);
    }
    assert_eq!(room.get("A").await.version, 2);
}

#[tokio::test]
async fn a_repeat_of_a_generating_request_returns_a_redacted_value() {
    let room = Room::open().await;
    let request = CreateSecretRequest {
        value: None,
        generate: random_uuid(),
        return_value: true,
        request_id: fresh(),
        ..create("A", "")
    };
    let first = room.secrets().create_secret(request.clone()).await.unwrap().into_inner();
    let made = Value::of(first.secret.as_ref().unwrap());
    assert_eq!(room.value("A").await, made);
    let again = room.secrets().create_secret(request).await.unwrap().into_inner();
    assert_eq!(Value::of(again.secret.as_ref().unwrap()), Value::Redacted);
    assert_eq!(outcome(Ok(Response::new(again))), outcome(Ok(Response::new(first))));
    assert_eq!(room.value("A").await, made);

    let request = RotateSecretRequest {
        value: None,
        generate: random_uuid(),
        return_value: true,
        request_id: fresh(),
        ..rotate("A", "")
    };
    let first = room.secrets().rotate_secret(request.clone()).await.unwrap().into_inner();
    let made = Value::of(first.secret.as_ref().unwrap());
    assert_eq!(room.value("A").await, made);
    let again = room.secrets().rotate_secret(request).await.unwrap().into_inner();
    assert_eq!(Value::of(again.secret.as_ref().unwrap()), Value::Redacted);
    assert_eq!((again.version, again.revision), (first.version, first.revision));
    assert_eq!(room.value("A").await, made);
}

#[tokio::test]
async fn a_request_id_is_the_same_in_every_form_of_the_uuid() {
    let room = Room::open().await;
    let uuid = Uuid::new_v4();
    let request = |request_id: String| CreateSecretRequest { request_id, ..create("A", "v") };
    let first = room.secrets().create_secret(request(uuid.to_string())).await.unwrap().into_inner();
    for form in [uuid.to_string().to_uppercase(), uuid.simple().to_string(), uuid.urn().to_string()] {
        let again = room.secrets().create_secret(request(form)).await.unwrap().into_inner();
        assert_eq!(again, first);
    }
    let other = CreateSecretRequest { request_id: uuid.to_string().to_uppercase(), ..create("A", "w") };
    reused(room.secrets().create_secret(other).await);

    // The other way round, and for the other kinds of change.
    let request_id = fresh();
    let upper = RotateSecretRequest { request_id: request_id.to_uppercase(), ..rotate("A", "w") };
    let lower = RotateSecretRequest { request_id, ..rotate("A", "w") };
    let first = room.secrets().rotate_secret(upper).await.unwrap().into_inner();
    assert_eq!(room.secrets().rotate_secret(lower).await.unwrap().into_inner(), first);
    let request_id = fresh();
    let upper = DisableVersionRequest { request_id: request_id.to_uppercase(), ..disable("A", 1) };
    let first = room.secrets().disable_version(upper).await.unwrap().into_inner();
    let lower = DisableVersionRequest { request_id, ..disable("A", 1) };
    assert_eq!(room.secrets().disable_version(lower).await.unwrap().into_inner(), first);
}

#[tokio::test]
async fn a_repeat_has_the_description_and_the_metadata_that_the_secret_has_now() {
    let room = Room::open().await;
    let request = CreateSecretRequest {
        description: "first".into(),
        metadata: pairs(&[("owner", "one")]),
        request_id: fresh(),
        ..create("A", "v")
    };
    let first = room.create_with(request.clone()).await;
    room.update(UpdateSecretRequest { metadata: pairs(&[("owner", "two")]), ..describe("A", "second") })
        .await;
    let again = room.create_with(request.clone()).await;
    let expected =
        Secret { description: "second".into(), metadata: pairs(&[("owner", "two")]), ..first.clone() };
    assert_eq!(
        again, expected,
        "the name, the times, the version, the etag and the revision are the first ones"
    );
    // Under another name, the caller may not be allowed to see it.
    let bare = Secret { description: String::new(), metadata: pairs(&[]), ..first };
    room.update(rename("A", "B")).await;
    assert_eq!(room.create_with(request.clone()).await, bare);
    room.delete("B").await;
    assert_eq!(room.create_with(request).await, bare);
}

#[tokio::test]
async fn a_repeated_change_of_a_version_returns_the_first_outcome() {
    let room = Room::open().await;
    room.create("A", "v").await;
    room.rotate("A", "w").await;
    let disables = DisableVersionRequest { request_id: fresh(), ..disable("A", 1) };
    let disabled = room.secrets().disable_version(disables.clone()).await.unwrap().into_inner();
    let destroys = DestroyVersionRequest { request_id: fresh(), ..destroy("A", 1) };
    let destroyed = room.secrets().destroy_version(destroys.clone()).await.unwrap().into_inner();
    room.rotate("A", "x").await;
    assert_eq!(room.secrets().disable_version(disables).await.unwrap().into_inner(), disabled);
    let again = room.secrets().destroy_version(destroys).await.unwrap().into_inner();
    assert_eq!(again, destroyed, "with the same receipt");
    assert!(!disabled.version.unwrap().current);
}

#[tokio::test]
async fn a_request_that_found_nothing_to_change_is_carried_out_again() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let request = EnableVersionRequest { request_id: fresh(), ..enable("A", 1) };
    let first = room.secrets().enable_version(request.clone()).await.unwrap().into_inner();
    assert_eq!(
        room.secrets().enable_version(request.clone()).await.unwrap().into_inner().secret,
        first.secret
    );
    room.disable("A", 1).await;
    let again = room.secrets().enable_version(request).await.unwrap().into_inner();
    assert_eq!(again.version.unwrap().state(), VersionState::Enabled);
    assert_eq!(room.value("A").await, Value::text("v"));
}

#[tokio::test]
async fn a_key_that_has_too_many_idempotency_records_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("strongroom.toml");
    std::fs::write(&config, "[limits]\nidempotency_records_per_principal = 2\n").unwrap();
    let launch = Launch::in_memory().argument("--config").argument(config.display().to_string());
    let server = launch.start();
    let room = Room::on(&server).await;
    let requests = ["A", "B"].map(|name| CreateSecretRequest { request_id: fresh(), ..create(name, "v") });
    for request in &requests {
        room.create_with(request.clone()).await;
    }
    let third = CreateSecretRequest { request_id: fresh(), ..create("C", "v") };
    let refusal =
        refused(room.secrets().create_secret(third.clone()).await, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    let quota = refusal.get_details_quota_failure().unwrap();
    assert_eq!(quota.violations[0].subject, "limits.idempotency_records_per_principal");
    assert!(refusal.message().contains("without a request_id"), "{}", refusal.message());
    assert_eq!(room.names().await, ["A", "B"]);
    // Repeats are answered, and changes without a request id or with another key are made.
    for request in requests {
        room.create_with(request).await;
    }
    room.create("D", "v").await;
    let (_, colleague) = room.root.make_key("a colleague", &room.namespace).await;
    colleague.create_with(third).await;
}

#[tokio::test]
async fn request_ids_of_different_principals_are_independent() {
    let room = Room::open().await;
    let (_, colleague) = room.root.make_key("a colleague", &room.namespace).await;
    let request_id = fresh();
    let mine = CreateSecretRequest { request_id: request_id.clone(), ..create("A", "mine") };
    let theirs = CreateSecretRequest { request_id, ..create("B", "theirs") };
    room.create_with(mine.clone()).await;
    colleague.create_with(theirs).await;
    assert_eq!(room.names().await, ["A", "B"]);
    // The same body from another principal is no repeat either: it creates a name that is taken by now.
    let (_, third) = room.root.make_key("a third", &room.namespace).await;
    crate::refusal::taken(third.secrets().create_secret(mine).await, "A");
}

#[tokio::test]
async fn a_repeat_by_a_caller_without_the_right_is_denied() {
    let room = Room::open().await;
    let request =
        CreateSecretRequest { namespace: room.namespace.clone(), request_id: fresh(), ..create("A", "v") };
    room.create_with(request.clone()).await;
    let elsewhere = Room::open().await;
    denied(elsewhere.secrets().create_secret(request).await);
}

#[tokio::test]
async fn without_a_request_id_every_request_is_a_new_change() {
    let room = Room::open().await;
    room.create("A", "v").await;
    crate::refusal::taken(room.secrets().create_secret(create("A", "v")).await, "A");
    assert_eq!(room.rotate("A", "w").await.version, 2);
    assert_eq!(room.rotate("A", "w").await.version, 3);
}

fn fresh() -> String {
    Uuid::new_v4().to_string()
}

#[track_caller]
fn reused<T>(reply: Result<Response<T>, Status>) {
    refused(reply, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

/// The parts of a create's outcome that a repeat must return: the secret's id, version, revisions and etag.
#[track_caller]
fn outcome(reply: Result<Response<CreateSecretResponse>, Status>) -> (String, u32, u64, u64, String) {
    let reply = reply.expect("a repeat succeeds like the first").into_inner();
    let secret = reply.secret.unwrap();
    (secret.id, secret.version, reply.revision, secret.revision, secret.etag)
}

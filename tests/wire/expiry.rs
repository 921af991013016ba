//! Secrets that expire: their values cannot be read any more, and a later expiry brings them back.

use std::time::SystemTime;

use prost_types::{Duration, FieldMask, Timestamp};
use strongroom::api::v1::{
    CreateSecretRequest, GetSecretRequest, ResolveReferencesRequest, Secret, UpdateSecretRequest, View,
};
use tonic::Code;
use uuid::Uuid;

use crate::caller::{Caller, Room, secret};
use crate::harness::{Launch, Server};
use crate::refusal::{invalid, not_found, refused};
use crate::requests::{Value, create, describe, get, list, nanos, rename, rotate, text, update};

const SECOND: i128 = 1_000_000_000;

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn in_seconds(seconds: i64) -> Option<Timestamp> {
    let mut at = Timestamp::from(SystemTime::now());
    at.seconds += seconds;
    Some(at)
}

fn expiring(name: &str, ttl: i64) -> CreateSecretRequest {
    CreateSecretRequest { ttl: seconds(ttl), ..create(name, "v") }
}

/// Waits until the server has told that one more secret has expired.
fn wait_for_expiry(server: &Server, count: usize) {
    server.wait_for_logged(count, "\"subject\":\"expired\"");
}

#[tokio::test]
async fn an_expiry_is_given_changed_and_cleared() {
    let room = Room::open().await;
    let made = room.create_with(expiring("A", 3600)).await;
    assert_eq!(nanos(made.expires_at), nanos(made.created_at) + 3600 * SECOND);
    assert_eq!(made.purge_at, None, "it has not expired");
    let at = in_seconds(7200);
    let made = room.create_with(CreateSecretRequest { expires_at: at, ..create("B", "v") }).await;
    assert_eq!(nanos(made.expires_at) / 1000, nanos(at) / 1000);

    let later = in_seconds(10_000);
    let changed = room.update(UpdateSecretRequest { expires_at: later, ..update("A") }).await;
    assert_eq!(nanos(changed.expires_at) / 1000, nanos(later) / 1000);
    let kept = room.update(describe("A", "what for")).await;
    assert_eq!(kept.expires_at, changed.expires_at);
    let mask = || Some(FieldMask { paths: vec!["expires_at".into()] });
    let cleared = room.update(UpdateSecretRequest { update_mask: mask(), ..update("A") }).await;
    assert_eq!(cleared.expires_at, None);
    // A field that is given is set, whether or not the mask names it.
    let request = UpdateSecretRequest { expires_at: later, update_mask: mask(), ..update("A") };
    assert_eq!(room.update(request).await.expires_at, changed.expires_at);
}

#[tokio::test]
async fn times_that_make_no_sense_are_refused_and_change_nothing() {
    let room = Room::open().await;
    let before = room.create("there", "v").await;
    for (field, request) in [
        ("ttl", CreateSecretRequest { ttl: seconds(0), ..create("A", "v") }),
        ("ttl", CreateSecretRequest { ttl: seconds(-5), ..create("A", "v") }),
        ("ttl", CreateSecretRequest { ttl: seconds(3_155_760_001), ..create("A", "v") }),
        ("ttl", CreateSecretRequest { ttl: seconds(i64::MAX), ..create("A", "v") }),
        (
            "ttl",
            CreateSecretRequest {
                ttl: Some(Duration { seconds: 0, nanos: 999_999_999 }),
                ..create("A", "v")
            },
        ),
        ("ttl", CreateSecretRequest { ttl: Some(Duration { seconds: 9, nanos: -1 }), ..create("A", "v") }),
        ("ttl", CreateSecretRequest { ttl: seconds(9), expires_at: in_seconds(9), ..create("A", "v") }),
        ("expires_at", CreateSecretRequest { expires_at: in_seconds(-1), ..create("A", "v") }),
        ("expires_at", CreateSecretRequest { expires_at: Some(Timestamp::default()), ..create("A", "v") }),
        (
            "expires_at",
            CreateSecretRequest {
                expires_at: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
                ..create("A", "v")
            },
        ),
        (
            "expires_at",
            CreateSecretRequest {
                expires_at: in_seconds(-1),
                request_id: Uuid::new_v4().to_string(),
                ..create("A", "v")
            },
        ),
    ] {
        invalid(room.secrets().create_secret(request).await, &[field]);
    }
    for expires_at in [in_seconds(-1), Some(Timestamp { seconds: i64::MIN, nanos: 0 })] {
        let request = UpdateSecretRequest { expires_at, ..update("there") };
        invalid(room.secrets().update_secret(request).await, &["expires_at"]);
    }
    assert_eq!(room.names().await, ["there"]);
    assert_eq!(room.get("there").await.etag, before.etag);
}

#[tokio::test]
async fn a_repeated_request_is_answered_also_after_the_expiry() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let request = CreateSecretRequest {
        expires_at: in_seconds(2),
        request_id: Uuid::new_v4().to_string(),
        ..create("A", "v")
    };
    let made = root.create_with(request.clone()).await;
    wait_for_expiry(&server, 1);
    let again = root.create_with(request).await;
    assert_eq!((again.id, again.revision), (made.id, made.revision));
}

#[tokio::test]
async fn the_values_of_an_expired_secret_are_read_nowhere_and_come_back_with_a_later_expiry() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let made = root.create_with(expiring("A", 1)).await;
    // The log tells the expiry after it has come.
    wait_for_expiry(&server, 1);

    let expired = |reply| refused(reply, Code::FailedPrecondition, "SECRET_EXPIRED");
    let status = expired(root.secrets().get_secret(get("A")).await);
    assert!(status.message().contains("expires_at"), "{}", status.message());
    expired(root.secrets().get_secret(GetSecretRequest { version: Some(1), ..get("A") }).await);
    refused(root.secrets().rotate_secret(rotate("A", "w")).await, Code::FailedPrecondition, "SECRET_EXPIRED");
    let value =
        prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("$ secrets.A".into())) };
    let document = Some(prost_types::Struct { fields: [("value".to_owned(), value)].into() });
    let document = ResolveReferencesRequest { document, ..Default::default() };
    let resolved = root.references().resolve_references(document).await;
    let status = refused(resolved, Code::FailedPrecondition, "SECRET_EXPIRED");
    assert!(status.message().contains("The secret `A` has expired"), "{}", status.message());

    // Everything but the values stays.
    let request = GetSecretRequest { view: View::Metadata.into(), ..get("A") };
    let seen = secret(root.secrets().get_secret(request).await.unwrap().into_inner().secret);
    assert_eq!((&seen.etag, seen.updated_at), (&made.etag, made.updated_at), "to tell is no change");
    let week = 7 * 24 * 60 * 60 * SECOND;
    assert_eq!(nanos(seen.purge_at), nanos(made.expires_at) + week);
    let [listed] = root.list(list()).await.items.try_into().unwrap();
    assert_eq!((listed.purge_at, listed.deleted_at), (seen.purge_at, None));
    assert_eq!(root.versions("A").await.len(), 1);
    root.update(describe("A", "what for")).await;
    let value = UpdateSecretRequest { value: Value::text("w").sent(), ..update("A") };
    refused(root.secrets().update_secret(value).await, Code::FailedPrecondition, "SECRET_EXPIRED");
    root.update(rename("A", "B")).await;
    refused(root.secrets().get_secret(get("B")).await, Code::FailedPrecondition, "SECRET_EXPIRED");

    let revived = root.update(UpdateSecretRequest { expires_at: in_seconds(3600), ..update("B") }).await;
    assert_eq!(revived.purge_at, None);
    assert_eq!(root.value("B").await, Value::text("v"));
    root.rotate("B", "w").await;

    // An expired secret can be deleted, and comes back expired.
    let made = root.create_with(CreateSecretRequest { value: text("x"), ..expiring("C", 1) }).await;
    wait_for_expiry(&server, 2);
    root.delete("C").await;
    not_found(root.secrets().get_secret(get("C")).await, "C");
    let request = strongroom::api::v1::UndeleteSecretRequest { id: made.id, ..Default::default() };
    let back = secret(root.secrets().undelete_secret(request).await.unwrap().into_inner().secret);
    assert!(back.purge_at.is_some() && back.deleted_at.is_none());
    refused(root.secrets().get_secret(get("C")).await, Code::FailedPrecondition, "SECRET_EXPIRED");
}

#[tokio::test]
async fn an_expired_secret_is_removed_after_the_retention() {
    let server = Launch::in_memory().configured("deletion_retention = '1s'").start();
    let root = Caller::root(&server).await;
    root.create_with(expiring("A", 1)).await;
    server.wait_for_logged(1, "scheduler/PurgeSecret");
    not_found(root.secrets().get_secret(get("A")).await, "A");
    let made: Secret = root.create("A", "another").await;
    assert_eq!(made.expires_at, None);
}

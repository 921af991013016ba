//! The versions of a secret: read by number, listed, disabled, enabled, destroyed.

use prost_types::value::Kind;
use prost_types::{Struct, Value as Json};
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};
use strongroom::api::v1::{
    DestroyVersionRequest, DestructionReceipt, DisableVersionRequest, EnableVersionRequest, GetSecretRequest,
    GetStatusRequest, ListSecretVersionsRequest, ResolveReferencesRequest, SecretVersion,
    UpdateSecretRequest, VersionState, View,
};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::caller::Room;
use crate::refusal::{denied, fields_of, invalid, not_found, refused};
use crate::requests::{
    Value, binary, delete, describe, destroy, disable, enable, get, nanos, rename, text, update,
};

const ENABLED: VersionState = VersionState::Enabled;
const DISABLED: VersionState = VersionState::Disabled;
const DESTROYED: VersionState = VersionState::Destroyed;

#[tokio::test]
async fn older_values_are_read_exactly() {
    let room = Room::open().await;
    let values = [
        Value::text("one"),
        Value::Binary(vec![0, 0xff, b'\n']),
        Value::text(""),
        Value::Binary(vec![7; 64 * 1024]),
        Value::text("$ secrets.A {}\0"),
    ];
    room.create("A", "one").await;
    for value in &values[1..] {
        room.update(UpdateSecretRequest { value: value.sent(), ..update("A") }).await;
    }
    for (number, value) in (1..).zip(&values) {
        assert_eq!(room.version("A", number).await, *value);
    }
    room.update(rename("A", "B")).await;
    assert_eq!(room.version("B", 2).await, values[1]);
    not_found(room.secrets().get_secret(version("A", 2)).await, "A");
    room.delete("B").await;
    not_found(room.secrets().get_secret(version("B", 2)).await, "B");
    room.create("B", "of another life").await;
    refused(room.secrets().get_secret(version("B", 2)).await, Code::NotFound, "VERSION_NOT_FOUND");
}

#[tokio::test]
async fn versions_are_listed_newest_first_with_their_times() {
    let room = Room::open().await;
    let first = room.create("A", "one").await;
    let second = room.rotate("A", "two").await;
    room.update(describe("A", "no new version")).await;
    let third = room.rotate("A", "three").await;
    let changed = room.disable("A", 2).await;
    let at = [third.updated_at, second.updated_at, first.created_at];
    let expected = [(3, ENABLED, true), (2, DISABLED, false), (1, ENABLED, false)];
    let expected: Vec<_> = expected
        .into_iter()
        .zip(at)
        .map(|((number, state, current), created_at)| SecretVersion {
            number,
            state: state.into(),
            created_at,
            state_changed_at: changed.secret.as_ref().filter(|_| number == 2).and_then(|s| s.updated_at),
            current,
            ..SecretVersion::default()
        })
        .collect();
    let request = ListSecretVersionsRequest {
        name: "A".into(),
        min_revision: changed.revision,
        ..ListSecretVersionsRequest::default()
    };
    let reply = room.secrets().list_secret_versions(request).await.unwrap().into_inner();
    assert_eq!(reply.versions, expected);
    assert!(reply.revision >= changed.revision);
}

#[tokio::test]
async fn a_hundred_versions_are_kept() {
    let room = Room::open().await;
    room.create("A", "1").await;
    for number in 2..=103 {
        room.rotate("A", &number.to_string()).await;
    }
    room.destroy("A", 4).await;
    let numbers: Vec<_> = room.versions("A").await.iter().map(|version| version.number).collect();
    assert_eq!(numbers, (4..=103).rev().collect::<Vec<_>>());
    for gone in 1..=3 {
        refused(room.secrets().get_secret(version("A", gone)).await, Code::NotFound, "VERSION_NOT_FOUND");
        refused(
            room.secrets().destroy_version(destroy("A", gone)).await,
            Code::NotFound,
            "VERSION_NOT_FOUND",
        );
    }
    for number in 5..=103 {
        assert_eq!(room.version("A", number).await, Value::text(number.to_string()));
    }
    room.rotate("A", "104").await;
    refused(room.secrets().get_secret(version("A", 4)).await, Code::NotFound, "VERSION_NOT_FOUND");
    assert_eq!(room.versions("A").await.len(), 100);
    room.delete("A").await;
}

#[tokio::test]
async fn a_disabled_version_is_not_read_until_it_is_enabled() {
    let room = Room::open().await;
    room.create("A", "one").await;
    let before = room.rotate("A", "two").await;
    let disabled = room.disable("A", 1).await;
    let secret = disabled.secret.unwrap();
    assert_eq!((secret.version, secret.revision), (2, disabled.revision));
    assert_eq!(Value::of(&secret), Value::Redacted);
    assert!(nanos(secret.updated_at) > nanos(before.updated_at));
    assert_eq!(secret.rotated_at, before.rotated_at);
    assert_ne!(secret.etag, before.etag);
    let told = disabled.version.unwrap();
    assert_eq!((told.number, told.state(), told.current), (1, DISABLED, false));
    assert_eq!(told.state_changed_at, secret.updated_at);

    withheld(room.secrets().get_secret(version("A", 1)).await, "VERSION_DISABLED", &room, "A", 1);
    // It can be read without its value.
    let request = GetSecretRequest { view: View::Metadata.into(), ..version("A", 1) };
    assert_eq!(room.secrets().get_secret(request).await.unwrap().into_inner().version, 1);
    assert_eq!(room.value("A").await, Value::text("two"));

    let enabled = room.enable("A", 1).await.version.unwrap();
    assert_eq!((enabled.state(), enabled.created_at), (ENABLED, told.created_at));
    assert!(nanos(enabled.state_changed_at) > nanos(told.state_changed_at));
    assert_eq!(room.version("A", 1).await, Value::text("one"));
}

#[tokio::test]
async fn a_change_to_the_state_that_a_version_has_changes_nothing() {
    let room = Room::open().await;
    room.create("A", "one").await;
    let before = room.rotate("A", "two").await;
    let untouched = room.enable("A", 1).await;
    assert_eq!(untouched.secret.unwrap(), before);
    assert_eq!(untouched.version.unwrap().state_changed_at, None);
    assert!(untouched.revision >= before.revision);

    let disabled = room.disable("A", 1).await;
    let again = room.disable("A", 1).await;
    assert_eq!((again.version, again.secret), (disabled.version, disabled.secret));
    let destroyed = room.destroy("A", 1).await;
    let again = room.destroy("A", 1).await;
    assert_eq!(
        (again.version, again.secret, again.receipt),
        (destroyed.version, destroyed.secret, destroyed.receipt)
    );
}

#[tokio::test]
async fn a_current_version_can_be_disabled_and_a_rotation_makes_another() {
    let room = Room::open().await;
    room.create("A", "one").await;
    assert!(room.disable("A", 1).await.version.unwrap().current);
    for request in [get("A"), version("A", 1)] {
        let status = withheld(room.secrets().get_secret(request).await, "VERSION_DISABLED", &room, "A", 1);
        assert!(status.message().contains("enable it, or rotate"), "{status:?}");
    }
    // The secret is still there, and its description can change.
    assert_eq!(room.names().await, ["A"]);
    room.update(describe("A", "no value now")).await;
    withheld(room.secrets().get_secret(get("A")).await, "VERSION_DISABLED", &room, "A", 1);

    room.rotate("A", "two").await;
    assert_eq!(room.value("A").await, Value::text("two"));
    withheld(room.secrets().get_secret(version("A", 1)).await, "VERSION_DISABLED", &room, "A", 1);
    room.enable("A", 1).await;
    assert_eq!(room.version("A", 1).await, Value::text("one"));
}

#[tokio::test]
async fn a_destroyed_version_is_gone_for_good() {
    let room = Room::open().await;
    room.create("A", "one").await;
    room.disable("A", 1).await;
    let destroyed = room.destroy("A", 1).await;
    let version_of = destroyed.version.unwrap();
    assert_eq!((version_of.state(), version_of.current), (DESTROYED, true));
    for request in [get("A"), version("A", 1)] {
        let status = withheld(room.secrets().get_secret(request).await, "VERSION_DESTROYED", &room, "A", 1);
        assert!(status.message().contains("rotate the secret"), "{status:?}");
    }
    withheld(room.secrets().enable_version(enable("A", 1)).await, "VERSION_DESTROYED", &room, "A", 1);
    withheld(room.secrets().disable_version(disable("A", 1)).await, "VERSION_DESTROYED", &room, "A", 1);
    room.update(UpdateSecretRequest { value: binary([1, 2]), ..update("A") }).await;
    assert_eq!(room.value("A").await, Value::Binary(vec![1, 2]));
    let states: Vec<_> = room.versions("A").await.iter().map(SecretVersion::state).collect();
    assert_eq!(states, [ENABLED, DESTROYED]);
}

#[tokio::test]
async fn a_receipt_is_signed_by_the_service_and_says_what_was_destroyed() {
    let room = Room::open().await;
    let status = room.root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    let secret = room.create("A", "one").await;
    room.rotate("A", "two").await;
    let reply = room.destroy("A", 1).await;
    let receipt = reply.receipt.unwrap();
    let state_changed_at = reply.version.unwrap().state_changed_at;
    let key = &receipt.public_key;
    let expected = DestructionReceipt {
        namespace: room.namespace.clone(),
        name: "A".into(),
        secret_id: secret.id.clone(),
        version: 1,
        destroyed_at: state_changed_at,
        key_id: hex(&digest(&SHA256, key).as_ref()[..8]),
        ..receipt.clone()
    };
    assert_eq!(receipt, expected);
    assert_eq!(*key, status.signing_public_key);
    assert_eq!(receipt.data_key_sha256.len(), 64);
    let time = state_changed_at.unwrap();
    let lines = [
        "strongroom v1 destruction of a version".to_owned(),
        format!("namespace: {}", room.namespace),
        "name: A".to_owned(),
        format!("secret id: {}", secret.id),
        "version: 1".to_owned(),
        format!("destroyed at: {}", in_micros(time)),
        format!("wrapped data key, sha256: {}\n", receipt.data_key_sha256),
    ];
    assert_eq!(String::from_utf8(receipt.statement.clone()).unwrap(), lines.join("\n"));
    verify(&receipt).expect("the service signed it");
    let mut altered = receipt.clone();
    altered.statement[50] ^= 1;
    assert!(verify(&altered).is_err());
    altered = receipt.clone();
    altered.signature[1] ^= 1;
    assert!(verify(&altered).is_err());

    // Another destruction has another receipt, and a rename changes only the name in it.
    let other = room.destroy("A", 2).await.receipt.unwrap();
    assert_ne!(other.data_key_sha256, receipt.data_key_sha256);
    assert_ne!(other.signature, receipt.signature);
    room.update(rename("A", "B")).await;
    let renamed = room.destroy("B", 1).await.receipt.unwrap();
    verify(&renamed).expect("the service signed it");
    let (statement, signature) = (renamed.statement.clone(), renamed.signature.clone());
    assert_eq!(renamed, DestructionReceipt { name: "B".into(), statement, signature, ..receipt });
}

#[tokio::test]
async fn a_change_with_a_stale_etag_is_aborted() {
    let room = Room::open().await;
    let stale = room.create("A", "one").await.etag;
    let etag = room.rotate("A", "two").await.etag;
    let disabling = |etag: &str| DisableVersionRequest { etag: etag.into(), ..disable("A", 1) };
    let enabling = |etag: &str| EnableVersionRequest { etag: etag.into(), ..enable("A", 1) };
    let destroying = |etag: &str| DestroyVersionRequest { etag: etag.into(), ..destroy("A", 1) };
    refused(room.secrets().disable_version(disabling(&stale)).await, Code::Aborted, "ETAG_MISMATCH");
    refused(room.secrets().destroy_version(destroying(&stale)).await, Code::Aborted, "ETAG_MISMATCH");
    refused(room.secrets().enable_version(enabling(&stale)).await, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(room.get("A").await.etag, etag);

    let reply = room.secrets().disable_version(disabling(&etag)).await.unwrap().into_inner();
    let etag = reply.secret.unwrap().etag;
    let reply = room.secrets().enable_version(enabling(&etag)).await.unwrap().into_inner();
    let etag = reply.secret.unwrap().etag;
    room.secrets().destroy_version(destroying(&etag)).await.unwrap();
    refused(room.secrets().destroy_version(destroying(&etag)).await, Code::Aborted, "ETAG_MISMATCH");
}

#[tokio::test]
async fn a_repeated_change_returns_the_first_outcome() {
    let room = Room::open().await;
    room.create("A", "one").await;
    room.rotate("A", "two").await;
    let request_id = fresh();
    let disabling = DisableVersionRequest { request_id: request_id.clone(), ..disable("A", 1) };
    let first = room.secrets().disable_version(disabling.clone()).await.unwrap().into_inner();
    room.enable("A", 1).await;
    let again = room.secrets().disable_version(disabling.clone()).await.unwrap().into_inner();
    assert_eq!(again, first);
    assert_eq!(room.version("A", 1).await, Value::text("one"), "nothing was changed again");

    let destroying = DestroyVersionRequest { request_id: fresh(), ..destroy("A", 1) };
    let first = room.secrets().destroy_version(destroying.clone()).await.unwrap().into_inner();
    room.rotate("A", "three").await;
    room.update(rename("A", "B")).await;
    assert_eq!(room.secrets().destroy_version(destroying).await.unwrap().into_inner(), first);
    for reused in [
        DisableVersionRequest { version: 2, ..disabling.clone() },
        DisableVersionRequest { name: "B".into(), ..disabling.clone() },
    ] {
        refused(room.secrets().disable_version(reused).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    }
    let reused = DestroyVersionRequest { request_id, ..destroy("B", 1) };
    refused(room.secrets().destroy_version(reused).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn versions_in_a_namespace_of_others_are_denied() {
    let room = Room::open().await;
    let other = Room::open().await;
    other.create("A", "one").await;
    let namespace = other.namespace.clone();
    let listing =
        ListSecretVersionsRequest { namespace: namespace.clone(), name: "A".into(), ..Default::default() };
    denied(room.secrets().list_secret_versions(listing.clone()).await);
    let disabling = DisableVersionRequest { namespace: namespace.clone(), ..disable("A", 1) };
    denied(room.secrets().disable_version(disabling).await);
    let enabling = EnableVersionRequest { namespace: namespace.clone(), ..enable("A", 1) };
    denied(room.secrets().enable_version(enabling).await);
    let destroying = DestroyVersionRequest { namespace: namespace.clone(), ..destroy("A", 1) };
    denied(room.secrets().destroy_version(destroying).await);
    assert_eq!(other.value("A").await, Value::text("one"));
    let listed = room.root.secrets().list_secret_versions(listing).await.unwrap().into_inner();
    assert_eq!(listed.versions.len(), 1);
}

#[tokio::test]
async fn missing_versions_and_wrong_fields_are_refused_by_name() {
    let room = Room::open().await;
    room.create("A", "one").await;
    for missing in [2, u32::MAX] {
        refused(
            room.secrets().disable_version(disable("A", missing)).await,
            Code::NotFound,
            "VERSION_NOT_FOUND",
        );
        refused(
            room.secrets().enable_version(enable("A", missing)).await,
            Code::NotFound,
            "VERSION_NOT_FOUND",
        );
        refused(
            room.secrets().destroy_version(destroy("A", missing)).await,
            Code::NotFound,
            "VERSION_NOT_FOUND",
        );
    }
    not_found(room.secrets().disable_version(disable("absent", 1)).await, "absent");
    not_found(room.secrets().destroy_version(destroy("absent", 1)).await, "absent");
    let listing = |name: &str| ListSecretVersionsRequest { name: name.into(), ..Default::default() };
    not_found(room.secrets().list_secret_versions(listing("absent")).await, "absent");
    invalid(room.secrets().list_secret_versions(listing("1")).await, &["name"]);
    let wrong = DestroyVersionRequest {
        namespace: "no//namespace".into(),
        name: "1".into(),
        version: 0,
        etag: String::new(),
        request_id: "no".into(),
        ..Default::default()
    };
    invalid(
        room.root.secrets().destroy_version(wrong).await,
        &["name", "namespace", "request_id", "version"],
    );
    assert_eq!(room.value("A").await, Value::text("one"));
}

#[tokio::test]
async fn references_to_a_version_without_a_value_are_refused_with_their_place() {
    let room = Room::open().await;
    for name in ["kept", "off", "gone"] {
        room.create(name, name).await;
    }
    room.disable("off", 1).await;
    room.destroy("gone", 1).await;
    let resolve = |expressions: &[&str]| {
        let field = |(index, text): (usize, &&str)| {
            (format!("f{index}"), Json { kind: Some(Kind::StringValue((*text).into())) })
        };
        let document = Some(Struct { fields: expressions.iter().enumerate().map(field).collect() });
        ResolveReferencesRequest { document, ..Default::default() }
    };
    let expressions = ["$ secrets.kept", "$ secrets.get('off', 'a default')", "$ secrets.gone"];
    let reply = room.references().resolve_references(resolve(&expressions)).await;
    let status = withheld(reply, "VERSION_DISABLED", &room, "off", 1);
    assert_eq!(fields_of(&status), ["document/f1", "document/f2"].map(str::to_owned).into());
    let reply = room.references().resolve_references(resolve(&["$ secrets.gone"])).await;
    withheld(reply, "VERSION_DESTROYED", &room, "gone", 1);
    let reply = room.references().resolve_references(resolve(&["$ secrets.off", "$ secrets.absent"])).await;
    not_found(reply, "absent");
    // A reference that the expression does not evaluate needs no value.
    let request = resolve(&["$ secrets.off if False else secrets.kept"]);
    assert!(room.references().resolve_references(request).await.is_ok());

    let request = ResolveReferencesRequest { validate_only: true, ..resolve(&expressions) };
    let reply = room.references().resolve_references(request).await.unwrap().into_inner();
    let mut readable: Vec<_> =
        reply.references.iter().map(|found| (found.name.as_str(), found.exists, found.readable)).collect();
    readable.sort_unstable();
    assert_eq!(readable, [("gone", true, false), ("kept", true, true), ("off", true, false)]);
}

#[tokio::test]
async fn each_of_many_concurrent_changes_is_made_whole() {
    let room = Room::open().await;
    room.create("A", "1").await;
    for number in 2..=20 {
        room.rotate("A", &number.to_string()).await;
    }
    let changes = (1..=20).map(|number| {
        let caller = room.caller.clone();
        tokio::spawn(async move {
            match number % 3 {
                0 => drop(caller.disable("A", number).await),
                1 => drop(caller.destroy("A", number).await),
                _ => drop(caller.rotate("A", "more").await),
            }
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap();
    }
    let versions = room.versions("A").await;
    assert_eq!(versions.len(), 27);
    for version in &versions {
        let expected = match version.number {
            number if number > 20 || number % 3 == 2 => ENABLED,
            number if number % 3 == 0 => DISABLED,
            _ => DESTROYED,
        };
        assert_eq!(version.state(), expected, "{version:?}");
    }
    room.secrets().delete_secret(delete("A")).await.unwrap();
}

#[tokio::test]
async fn setting_the_same_value_again_makes_a_new_version() {
    let room = Room::open().await;
    room.create("A", "one").await;
    room.destroy("A", 1).await;
    room.update(UpdateSecretRequest { value: text("one"), ..update("A") }).await;
    assert_eq!((room.value("A").await, room.get("A").await.version), (Value::text("one"), 2));
}

fn version(name: &str, number: u32) -> GetSecretRequest {
    GetSecretRequest { version: Some(number), ..get(name) }
}

/// Asserts a refusal because the version has no value to read, which the details name.
#[track_caller]
fn withheld<T>(
    reply: Result<Response<T>, Status>,
    reason: &str,
    room: &Room,
    name: &str,
    number: u32,
) -> Status {
    let status = refused(reply, Code::FailedPrecondition, reason);
    let failure = status.get_details_precondition_failure().expect("the failed precondition");
    let [violation] = failure.violations.as_slice() else { panic!("not one violation: {failure:?}") };
    assert_eq!(violation.r#type, reason);
    assert_eq!(violation.subject, format!("{}/{name}/versions/{number}", room.namespace));
    status
}

fn verify(receipt: &DestructionReceipt) -> Result<(), ring::error::Unspecified> {
    UnparsedPublicKey::new(&ED25519, &receipt.public_key).verify(&receipt.statement, &receipt.signature)
}

/// The time with exactly six decimals.
fn in_micros(time: prost_types::Timestamp) -> String {
    let second = prost_types::Timestamp { nanos: 0, ..time }.to_string();
    format!("{}.{:06}Z", second.trim_end_matches('Z'), time.nanos / 1000)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fresh() -> String {
    Uuid::new_v4().to_string()
}

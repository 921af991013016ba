//! GetSecret: exact values, views, versions, and reads of the caller's own writes.

use strongroom::api::v1::{CreateSecretRequest, GetSecretRequest, ListSecretsRequest, Secret, View};
use tonic::Code;

use crate::caller::Room;
use crate::create::ILLEGAL_NAMES;
use crate::refusal::{invalid, not_found, reason_of, refused};
use crate::requests::{Value, create, describe, get, list, pairs};

#[tokio::test]
async fn get_returns_the_exact_value() {
    let room = Room::open().await;
    let all_bytes: Vec<u8> = (0..=255).collect();
    let values = [
        ("empty", Value::text("")),
        ("empty_binary", Value::Binary(Vec::new())),
        ("utf8", Value::text("пароль 密码 🔑 e\u{301}")),
        ("newlines", Value::text("\n-----BEGIN KEY-----\r\nabc\n\n-----END KEY-----\n")),
        ("braces", Value::text("{secrets.x} {{y}} ${z} $ secrets.a {")),
        ("nul", Value::text("\0before\0after\0")),
        ("spaces", Value::text("  \t padded \t  ")),
        ("byte_order_mark", Value::text("\u{feff}value")),
        ("quotes", Value::text(r#""'\`\n\u0041%s%n"#)),
        ("json", Value::text(r#"{"redacted":"REDACTION_ENCRYPTED"}"#)),
        ("looks_redacted", Value::text("ENCRYPTED")),
        ("all_bytes", Value::Binary(all_bytes)),
        ("not_utf8", Value::Binary(vec![0xc3, 0x28, 0xff, 0xfe, 0x00])),
    ];
    for (name, value) in &values {
        room.create_with(CreateSecretRequest { value: value.sent(), ..create(name, "") }).await;
    }
    // All are created before the first is read, so that a value under a wrong name is noticed.
    for (name, value) in values {
        assert_eq!(room.value(name).await, value, "{name}");
    }
}

#[tokio::test]
async fn get_returns_the_fields_that_create_returned_and_the_value() {
    let room = Room::open().await;
    let created = room
        .create_with(CreateSecretRequest {
            description: "what for".into(),
            metadata: pairs(&[("owner", "payments")]),
            ..create("A", "the value")
        })
        .await;
    let read = room.get("A").await;
    assert_eq!(Value::of(&read), Value::text("the value"));
    assert_eq!(Secret { value: created.value.clone(), ..read }, created);
}

#[tokio::test]
async fn get_by_the_explicit_home_namespace_is_the_same() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let request = GetSecretRequest { namespace: room.namespace.clone(), ..get("A") };
    let read = room.secrets().get_secret(request).await.unwrap().into_inner().secret.unwrap();
    assert_eq!(read, room.get("A").await);
}

#[tokio::test]
async fn get_of_a_missing_secret_is_not_found() {
    let room = Room::open().await;
    room.create("present", "v").await;
    not_found(room.secrets().get_secret(get("absent")).await, "absent");
    not_found(room.secrets().get_secret(get("Present")).await, "Present");
}

#[tokio::test]
async fn get_refuses_every_illegal_name() {
    let room = Room::open().await;
    let too_long = "n".repeat(129);
    for name in ILLEGAL_NAMES.into_iter().chain([too_long.as_str()]) {
        invalid(room.secrets().get_secret(get(name)).await, &["name"]);
    }
}

#[tokio::test]
async fn the_full_view_is_the_default() {
    let room = Room::open().await;
    room.create("A", "v").await;
    for view in [View::Unspecified, View::Full] {
        let request = GetSecretRequest { view: view.into(), ..get("A") };
        let read = room.secrets().get_secret(request).await.unwrap().into_inner().secret.unwrap();
        assert_eq!(Value::of(&read), Value::text("v"));
    }
}

#[tokio::test]
async fn the_metadata_view_redacts_the_value_and_nothing_else() {
    let room = Room::open().await;
    room.create_with(CreateSecretRequest { metadata: pairs(&[("k", "v")]), ..create("A", "v") }).await;
    let full = room.get("A").await;
    let request = GetSecretRequest { view: View::Metadata.into(), ..get("A") };
    let redacted = room.secrets().get_secret(request).await.unwrap().into_inner().secret.unwrap();
    assert_eq!(Value::of(&redacted), Value::Redacted);
    assert_eq!(Secret { value: full.value.clone(), ..redacted }, full);
}

#[tokio::test]
async fn get_refuses_an_unknown_view() {
    let room = Room::open().await;
    room.create("A", "v").await;
    // If it were answered like the full view, a caller that asked for less could get a value.
    invalid(room.secrets().get_secret(GetSecretRequest { view: 99, ..get("A") }).await, &["view"]);
}

#[tokio::test]
async fn get_says_which_version_it_returns() {
    let room = Room::open().await;
    room.create("A", "one").await;
    room.rotate("A", "two").await;
    let version = |version| GetSecretRequest { version, ..get("A") };
    for (asked, number, value) in [(None, 2, "two"), (Some(2), 2, "two"), (Some(1), 1, "one")] {
        let reply = room.secrets().get_secret(version(asked)).await.unwrap().into_inner();
        let secret = reply.secret.unwrap();
        assert_eq!((reply.version, Value::of(&secret), secret.version), (number, Value::text(value), 2));
        let request = GetSecretRequest { view: View::Metadata.into(), ..version(asked) };
        let reply = room.secrets().get_secret(request).await.unwrap().into_inner();
        assert_eq!((reply.version, Value::of(&reply.secret.unwrap())), (number, Value::Redacted));
    }
    for missing in [3, u32::MAX] {
        for view in [View::Full, View::Metadata] {
            let request = GetSecretRequest { view: view.into(), ..version(Some(missing)) };
            refused(room.secrets().get_secret(request).await, Code::NotFound, "VERSION_NOT_FOUND");
        }
    }
    invalid(room.secrets().get_secret(version(Some(0))).await, &["version"]);
}

#[tokio::test]
async fn a_version_of_a_missing_secret_is_refused_as_a_missing_secret() {
    let room = Room::open().await;
    not_found(
        room.secrets().get_secret(GetSecretRequest { version: Some(1), ..get("absent") }).await,
        "absent",
    );
}

#[tokio::test]
async fn get_names_all_wrong_fields_at_once() {
    let room = Room::open().await;
    let request = GetSecretRequest {
        namespace: "no//namespace".into(),
        name: "1".into(),
        version: Some(0),
        view: -1,
        ..Default::default()
    };
    invalid(room.root.secrets().get_secret(request).await, &["name", "namespace", "version", "view"]);
}

#[tokio::test]
async fn reads_can_ask_for_the_revision_that_a_change_returned() {
    let room = Room::open().await;
    room.create("A", "v").await;
    for n in 0..20 {
        let changed = room.secrets().update_secret(describe("A", &n.to_string())).await.unwrap().into_inner();
        let request = GetSecretRequest { min_revision: changed.revision, ..get("A") };
        let read = room.secrets().get_secret(request).await.unwrap().into_inner();
        assert!(read.revision >= changed.revision);
        let secret = read.secret.unwrap();
        assert_eq!((secret.description, secret.revision), (n.to_string(), changed.revision));
    }
}

#[tokio::test]
async fn a_revision_that_does_not_exist_is_refused_and_does_not_hang() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let (mut one, mut other) = (room.secrets(), room.secrets());
    let (read, listed) = tokio::join!(
        one.get_secret(GetSecretRequest { min_revision: u64::MAX, ..get("A") }),
        other.list_secrets(ListSecretsRequest { min_revision: u64::MAX, ..list() }),
    );
    // The contract does not say which refusal this is. But an answer from an older state would break the contract.
    reason_of(&read.expect_err("there is no such revision"));
    reason_of(&listed.expect_err("there is no such revision"));
}

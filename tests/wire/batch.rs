//! BatchGetSecrets: several secrets at one revision, each with an outcome of its own.

use std::collections::BTreeSet;

use prost::Message;
use strongroom::api::v1::batch_get_secrets_item::Result as Outcome;
use strongroom::api::v1::{
    AuditFilter, BatchGetSecretsItem, BatchGetSecretsRequest, BatchGetSecretsResponse, CreateApiKeyRequest,
    CreateBindingRequest, GetSecretRequest, Secret, View,
};
use tonic::Code;
use tonic_types::pb;

use crate::audit_log::{json, records};
use crate::caller::{Caller, Credential, Room};
use crate::refusal::{denied, invalid};
use crate::requests::{Value, create, destroy, disable, rotate, text};

fn batch(names: &[&str]) -> BatchGetSecretsRequest {
    BatchGetSecretsRequest { names: names.iter().map(|&name| name.into()).collect(), ..Default::default() }
}

async fn read(caller: &Caller, request: BatchGetSecretsRequest) -> BatchGetSecretsResponse {
    caller.secrets().batch_get_secrets(request).await.unwrap().into_inner()
}

/// The secret of an item.
fn secret(item: &BatchGetSecretsItem) -> &Secret {
    match item.result.as_ref().expect("an outcome") {
        Outcome::Secret(secret) => secret,
        Outcome::Error(error) => panic!("{}: {error:?}", item.name),
    }
}

/// The code and the reason of an item's error.
fn error(item: &BatchGetSecretsItem) -> (Code, String) {
    match item.result.as_ref().expect("an outcome") {
        Outcome::Secret(_) => panic!("{} was read", item.name),
        Outcome::Error(error) => {
            assert!(!error.message.is_empty());
            let info = error.details.iter().find(|any| any.type_url.ends_with("/google.rpc.ErrorInfo"));
            let info = pb::ErrorInfo::decode(info.expect("an ErrorInfo").value.as_slice()).unwrap();
            assert_eq!(info.domain, "strongroom");
            (Code::from(error.code), info.reason)
        }
    }
}

#[tokio::test]
async fn each_name_has_its_outcome_in_the_order_of_the_request() {
    let room = Room::open().await;
    for name in ["a", "b", "c", "d"] {
        room.create(name, &format!("value of {name}")).await;
    }
    room.secrets().rotate_secret(rotate("b", "second")).await.unwrap();
    room.secrets().disable_version(disable("c", 1)).await.unwrap();
    room.secrets().destroy_version(destroy("d", 1)).await.unwrap();
    let reply = read(&room, batch(&["d", "b", "none", "a", "c"])).await;
    let names: Vec<_> = reply.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["d", "b", "none", "a", "c"]);
    let [d, b, none, a, c] = reply.items.as_slice() else { panic!("{reply:?}") };
    assert_eq!(Value::of(secret(a)), Value::text("value of a"));
    assert_eq!((Value::of(secret(b)), secret(b).version), (Value::text("second"), 2));
    assert_eq!(error(c), (Code::FailedPrecondition, "VERSION_DISABLED".into()));
    assert_eq!(error(d), (Code::FailedPrecondition, "VERSION_DESTROYED".into()));
    assert_eq!(error(none), (Code::NotFound, "SECRET_NOT_FOUND".into()));
    assert!(reply.revision >= secret(b).revision);

    // Without values, the state of the version does not matter.
    let reply =
        read(&room, BatchGetSecretsRequest { view: View::Metadata.into(), ..batch(&["d", "b", "none"]) })
            .await;
    let [d, b, none] = reply.items.as_slice() else { panic!("{reply:?}") };
    assert_eq!((Value::of(secret(d)), Value::of(secret(b))), (Value::Redacted, Value::Redacted));
    assert_eq!(error(none), (Code::NotFound, "SECRET_NOT_FOUND".into()));
}

#[tokio::test]
async fn all_secrets_are_of_one_revision() {
    let room = Room::open().await;
    room.create("left", "0").await;
    room.create("right", "0").await;
    let writer = {
        let room = room.caller.clone();
        tokio::spawn(async move {
            for round in 1..=60 {
                for name in ["left", "right"] {
                    room.secrets().rotate_secret(rotate(name, &round.to_string())).await.unwrap();
                }
            }
        })
    };
    let number = |item: &BatchGetSecretsItem| match Value::of(secret(item)) {
        Value::Text(text) => text.parse::<u32>().unwrap(),
        other => panic!("{other:?}"),
    };
    let mut seen = BTreeSet::new();
    while !writer.is_finished() {
        let reply = read(&room, batch(&["right", "left"])).await;
        let [right, left] = reply.items.as_slice() else { panic!("{reply:?}") };
        // The left one is written first, so it is never behind, and ahead by one at most.
        let (left, right) = (number(left), number(right));
        assert!(left == right || left == right + 1, "{left} {right}");
        seen.insert((left, right));
    }
    writer.await.unwrap();
    assert!(!seen.is_empty());
}

#[tokio::test]
async fn names_that_are_not_acceptable_are_refused_together() {
    let room = Room::open().await;
    room.create("a", "v").await;
    let many: Vec<String> = (0..101).map(|n| format!("n{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for names in [&[][..], &["a", "a"], &["a", "no name"], &[""], &many] {
        invalid(room.secrets().batch_get_secrets(batch(names)).await, &["names"]);
    }
    let reply = read(&room, batch(&many[..100])).await;
    assert_eq!(reply.items.len(), 100);
    let request = BatchGetSecretsRequest { view: 9, ..batch(&["a", "a"]) };
    invalid(room.secrets().batch_get_secrets(request).await, &["names", "view"]);
}

#[tokio::test]
async fn a_name_that_the_caller_may_not_read_is_denied_whether_or_not_it_exists() {
    let room = Room::open().await;
    for name in ["app_key", "db_key"] {
        room.create(name, "v").await;
    }
    let request = CreateApiKeyRequest {
        name: "narrow".into(),
        home_namespace: room.namespace.clone(),
        role: "none".into(),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    let caller = room.root.with(Credential::bearer(&made.credential));
    denied(caller.secrets().batch_get_secrets(batch(&["app_key"])).await);
    let request = CreateBindingRequest {
        principal: format!("key:{}", made.api_key.unwrap().id),
        role: "reader".into(),
        namespace_pattern: room.namespace.clone(),
        name_pattern: "app_*".into(),
        ..Default::default()
    };
    room.root.access().create_binding(request).await.unwrap();
    for view in [View::Full, View::Metadata] {
        let request = BatchGetSecretsRequest {
            view: view.into(),
            ..batch(&["db_key", "app_key", "db_none", "app_none"])
        };
        let reply = read(&caller, request).await;
        let [db, app, db_none, app_none] = reply.items.as_slice() else { panic!("{reply:?}") };
        assert_eq!(secret(app).name, "app_key");
        assert_eq!(error(db), (Code::PermissionDenied, "ACCESS_DENIED".into()));
        assert_eq!(error(db_none), error(db));
        assert_eq!(error(app_none), (Code::NotFound, "SECRET_NOT_FOUND".into()));
    }
}

#[tokio::test]
async fn values_for_which_a_reply_has_no_room_are_asked_for_again() {
    let room = Room::open().await;
    let names: Vec<String> = (0..50).map(|n| format!("n{n:02}")).collect();
    for name in &names {
        let value = text("v".repeat(65_536));
        room.create_with(strongroom::api::v1::CreateSecretRequest { value, ..create(name, "") }).await;
    }
    let mut left: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut replies = Vec::new();
    while !left.is_empty() {
        let reply = read(&room, batch(&left)).await;
        let read =
            reply.items.iter().take_while(|item| matches!(item.result, Some(Outcome::Secret(_)))).count();
        for item in &reply.items[read..] {
            assert_eq!(error(item), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".into()));
        }
        replies.push(read);
        left.drain(..read);
    }
    assert_eq!(replies, [44, 6]);
}

#[tokio::test]
async fn a_batch_waits_for_the_revision_that_it_asks_for() {
    let room = Room::open().await;
    let created = room.create("a", "v").await;
    let request = BatchGetSecretsRequest { min_revision: created.revision, ..batch(&["a"]) };
    let reply = read(&room, request).await;
    assert!(reply.revision >= created.revision);
    let single = GetSecretRequest { name: "a".into(), min_revision: reply.revision, ..Default::default() };
    assert_eq!(
        room.secrets().get_secret(single).await.unwrap().into_inner().secret.unwrap(),
        *secret(&reply.items[0])
    );
}

#[tokio::test]
async fn one_audit_record_names_what_was_read_and_what_was_not() {
    let room = Room::open().await;
    room.create("a", "v").await;
    room.create("b", "v").await;
    room.secrets().disable_version(disable("b", 1)).await.unwrap();
    read(&room, batch(&["a", "b", "none"])).await;
    read(&room, BatchGetSecretsRequest { view: View::Metadata.into(), ..batch(&["a"]) }).await;
    let filter = AuditFilter {
        namespace: room.namespace.clone(),
        rpc: "strongroom.v1.SecretService/BatchGetSecrets".into(),
        ..Default::default()
    };
    let records = records(&room.root, filter).await;
    let [values, metadata] = records.as_slice() else { panic!("{records:?}") };
    let names = |record, field: &str| json(record)[field].clone();
    assert_eq!(names(values, "read"), serde_json::json!(["a@1"]));
    assert_eq!(names(values, "not_read"), serde_json::json!(["b@1", "none"]));
    assert_eq!(names(metadata, "not_read"), serde_json::json!(["a@1"]));
}

#[tokio::test]
async fn a_reply_with_large_metadata_stays_below_what_a_client_accepts() {
    let room = Room::open().await;
    let names: Vec<String> = (0..100).map(|n| format!("n{n:02}")).collect();
    let metadata: std::collections::BTreeMap<_, _> =
        (0..64).map(|n| (format!("{n:0>128}"), "m".repeat(512))).collect();
    for name in &names {
        let request =
            strongroom::api::v1::CreateSecretRequest { metadata: metadata.clone(), ..create(name, "v") };
        room.create_with(request).await;
    }
    let request = batch(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for view in [View::Full, View::Metadata] {
        let reply = read(&room, BatchGetSecretsRequest { view: view.into(), ..request.clone() }).await;
        let read = reply.items.iter().filter(|item| matches!(item.result, Some(Outcome::Secret(_)))).count();
        assert!((60..80).contains(&read), "{read}");
        assert!(reply.encoded_len() <= 3 << 20, "{}", reply.encoded_len());
        assert_eq!(error(&reply.items[99]), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".into()));
    }
}

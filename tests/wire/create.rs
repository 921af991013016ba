//! CreateSecret: what it returns, accepts and refuses. Generators are tested in `generate`.

use std::time::{SystemTime, UNIX_EPOCH};

use strongroom::api::v1::{CreateSecretRequest, SecretValue};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;
use uuid::{Uuid, Version};

use crate::caller::{Caller, Room};
use crate::harness::shared;
use crate::refusal::{fields_of, invalid, refused, taken};
use crate::requests::{
    MAX_VALUE, Value, binary, create, get, list, many_pairs, nanos, pairs, password, text,
};

pub const LEGAL_NAMES: [&str; 12] =
    ["A", "a", "_", "_a", "a_1", "A1", "OPENAI_API_KEY", "__class__", "items", "get", "null", "z9_Z"];

/// Illegal names, each for a reason of its own.
pub const ILLEGAL_NAMES: [&str; 26] = [
    "",
    "invalid name",
    "1a",
    "1",
    "a-b",
    "a.b",
    "a/b",
    "a:b",
    "a$",
    "$a",
    "é",
    "aé",
    "名前",
    "ａ",
    "a\n",
    "\na",
    "a\r",
    "a\0",
    "\0",
    " a",
    "a ",
    "a\t",
    "a\u{200b}",
    "\u{feff}a",
    "../a",
    "a%",
];

#[tokio::test]
async fn create_returns_the_given_fields_and_redacts_the_value() {
    let room = Room::open().await;
    let before = now();
    let reply = room
        .secrets()
        .create_secret(CreateSecretRequest {
            description: "Stripe API key — payments".into(),
            metadata: pairs(&[("environment", "production"), ("owner", "payments-team"), ("empty", "")]),
            ..create("stripe_api_key", "sk_test_1")
        })
        .await
        .unwrap()
        .into_inner();
    let secret = reply.secret.unwrap();

    assert_eq!(secret.name, "stripe_api_key");
    assert_eq!(secret.namespace, room.namespace);
    assert_eq!(secret.description, "Stripe API key — payments");
    assert_eq!(
        secret.metadata,
        pairs(&[("environment", "production"), ("owner", "payments-team"), ("empty", "")])
    );
    assert_eq!(Value::of(&secret), Value::Redacted);
    assert_eq!(secret.version, 1);
    assert_eq!(Uuid::parse_str(&secret.id).unwrap().get_version(), Some(Version::SortRand));
    assert!(!secret.etag.is_empty());
    assert!(reply.revision > 0);
    assert_eq!(secret.revision, reply.revision);

    // A minute either way: this tests the unit and the clock, not the speed.
    let minute = 60_000_000_000;
    assert!(
        (before - minute..=now() + minute).contains(&nanos(secret.created_at)),
        "{:?}",
        secret.created_at
    );
    assert_eq!(secret.updated_at, secret.created_at);
}

#[tokio::test]
async fn create_leaves_fields_absent_that_this_release_does_not_set() {
    let room = Room::open().await;
    let secret = room.create("A", "v").await;
    assert_eq!((secret.rotated_at, secret.expires_at, secret.next_rotation_at), (None, None, None));
    assert_eq!((secret.deleted_at, secret.purge_at), (None, None));
    assert!(secret.rotation_policy.is_none());
    assert_eq!((secret.description.as_str(), secret.metadata.len()), ("", 0));
}

#[tokio::test]
async fn create_accepts_every_legal_name() {
    let room = Room::open().await;
    let longest = "n".repeat(128);
    for name in LEGAL_NAMES.into_iter().chain([longest.as_str()]) {
        assert_eq!(room.create(name, name).await.name, name);
        assert_eq!(room.value(name).await, Value::text(name));
    }
}

#[tokio::test]
async fn create_refuses_every_illegal_name() {
    let room = Room::open().await;
    let too_long = "n".repeat(129);
    for name in ILLEGAL_NAMES.into_iter().chain([too_long.as_str()]) {
        invalid(room.secrets().create_secret(create(name, "v")).await, &["name"]);
    }
    assert_eq!(room.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn names_are_case_sensitive() {
    let room = Room::open().await;
    room.create("Key", "upper").await;
    room.create("key", "lower").await;
    room.create("KEY", "shouted").await;
    assert_eq!(room.value("Key").await, Value::text("upper"));
    assert_eq!(room.value("key").await, Value::text("lower"));
    assert_eq!(room.value("KEY").await, Value::text("shouted"));
}

#[tokio::test]
async fn create_refuses_a_taken_name_and_leaves_the_original_untouched() {
    let room = Room::open().await;
    room.create_with(CreateSecretRequest { description: "first".into(), ..create("A", "original") }).await;
    let before = room.get("A").await;
    let second = CreateSecretRequest {
        description: "second".into(),
        metadata: pairs(&[("k", "v")]),
        ..create("A", "another")
    };
    taken(room.secrets().create_secret(second).await, "A");
    assert_eq!(room.get("A").await, before);
    assert_eq!(room.list(list()).await.total_size, 1);
}

#[tokio::test]
async fn the_same_name_in_another_namespace_is_another_secret() {
    let (here, there) = (Room::open().await, Room::open().await);
    let first = here.create("A", "here").await;
    let second = there.create("A", "there").await;
    assert_ne!(first.id, second.id);
    there.delete("A").await;
    assert_eq!(here.value("A").await, Value::text("here"));
}

#[tokio::test]
async fn of_concurrent_creates_of_one_name_exactly_one_wins() {
    let room = Room::open().await;
    let mut creates = JoinSet::new();
    for n in 0..32 {
        let mut secrets = room.secrets();
        creates.spawn(async move {
            let value = format!("value {n}");
            (value.clone(), secrets.create_secret(create("A", &value)).await)
        });
    }
    let mut won = Vec::new();
    while let Some(done) = creates.join_next().await {
        match done.unwrap() {
            (value, Ok(reply)) => won.push((value, reply.into_inner().secret.unwrap().id)),
            (_, refusal) => drop(taken(refusal, "A")),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    let kept = room.get("A").await;
    assert_eq!((Value::of(&kept), kept.id), (Value::text(won[0].0.as_str()), won[0].1.clone()));
    assert_eq!(room.list(list()).await.total_size, 1);
}

#[tokio::test]
async fn create_takes_a_value_up_to_64_kib_and_not_a_byte_more() {
    let room = Room::open().await;
    let two_bytes_each = "é".repeat(MAX_VALUE / 2);
    for (name, value) in [
        ("text", Value::text("x".repeat(MAX_VALUE))),
        ("wide", Value::text(two_bytes_each.as_str())),
        ("binary", Value::Binary(vec![0xff; MAX_VALUE])),
    ] {
        room.create_with(CreateSecretRequest { value: value.sent(), ..create(name, "") }).await;
        assert!(room.value(name).await == value, "{name} came back changed");
    }
    for value in [
        text("x".repeat(MAX_VALUE + 1)),
        text(format!("{two_bytes_each}x")),
        binary(vec![0; MAX_VALUE + 1]),
        text("x".repeat(10 * MAX_VALUE)),
    ] {
        invalid(
            room.secrets().create_secret(CreateSecretRequest { value, ..create("more", "") }).await,
            &["value"],
        );
    }
    assert_eq!(room.names().await, ["binary", "text", "wide"]);
}

#[tokio::test]
async fn create_takes_a_description_up_to_1024_bytes() {
    let room = Room::open().await;
    for (name, description) in [("ascii", "d".repeat(1024)), ("wide", "é".repeat(512))] {
        let made = room
            .create_with(CreateSecretRequest { description: description.clone(), ..create(name, "v") })
            .await;
        assert_eq!(made.description, description);
    }
    for description in ["d".repeat(1025), "é".repeat(512) + "d"] {
        let request = CreateSecretRequest { description, ..create("more", "v") };
        invalid(room.secrets().create_secret(request).await, &["description"]);
    }
}

#[tokio::test]
async fn create_takes_metadata_within_its_limits() {
    let room = Room::open().await;
    let (key, value) = ("k".repeat(128), "v".repeat(512));
    let (wide_key, wide_value) = ("é".repeat(64), "é".repeat(256));
    let within = [
        ("count", many_pairs(64)),
        ("longest", pairs(&[(&key, &value)])),
        ("wide", pairs(&[(&wide_key, &wide_value)])),
        ("empty_value", pairs(&[("k", "")])),
        ("odd", pairs(&[("a b\"]=,\n", "{\"json\": [1]}\0")])),
    ];
    for (name, metadata) in within {
        let made =
            room.create_with(CreateSecretRequest { metadata: metadata.clone(), ..create(name, "v") }).await;
        assert_eq!(made.metadata, metadata);
        assert_eq!(room.get(name).await.metadata, metadata);
    }
}

#[tokio::test]
async fn create_refuses_metadata_beyond_its_limits() {
    let room = Room::open().await;
    for metadata in [
        many_pairs(65),
        pairs(&[("", "v")]),
        pairs(&[(&"k".repeat(129), "v")]),
        pairs(&[(&("é".repeat(64) + "k"), "v")]),
        pairs(&[("k", &"v".repeat(513))]),
        pairs(&[("k", &("é".repeat(256) + "v"))]),
        pairs(&[("fine", "v"), ("k", &"v".repeat(513))]),
    ] {
        let request = CreateSecretRequest { metadata, ..create("A", "v") };
        invalid(room.secrets().create_secret(request).await, &["metadata"]);
    }
    assert_eq!(room.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn create_refuses_a_request_without_a_value() {
    let room = Room::open().await;
    for value in [None, Some(SecretValue { kind: None }), Value::Redacted.sent()] {
        let request = CreateSecretRequest { value, ..create("A", "") };
        let status =
            refused(room.secrets().create_secret(request).await, Code::InvalidArgument, "VALIDATION_FAILED");
        assert!(fields_of(&status).contains("value"), "{status:?}");
    }
    refused(room.secrets().get_secret(get("A")).await, Code::NotFound, "SECRET_NOT_FOUND");
}

#[tokio::test]
async fn create_refuses_a_value_beside_a_generator() {
    let room = Room::open().await;
    let request = CreateSecretRequest { generate: password(None, ""), ..create("A", "v") };
    let status =
        refused(room.secrets().create_secret(request).await, Code::InvalidArgument, "VALIDATION_FAILED");
    let fields = fields_of(&status);
    assert!(
        fields.iter().all(|field| field == "value" || field == "generate") && !fields.is_empty(),
        "{status:?}"
    );
}

#[tokio::test]
async fn create_returns_only_values_that_it_generated() {
    let room = Room::open().await;
    let request = CreateSecretRequest { return_value: true, ..create("A", "v") };
    invalid(room.secrets().create_secret(request).await, &["return_value"]);
}

#[tokio::test]
async fn create_names_all_wrong_fields_at_once() {
    let caller = Caller::root(shared()).await;
    let request = CreateSecretRequest {
        namespace: "Not/A/Namespace".into(),
        name: "invalid name".into(),
        value: binary(vec![1; MAX_VALUE + 1]),
        description: "d".repeat(1025),
        metadata: many_pairs(65),
        request_id: "not a uuid".into(),
        ..Default::default()
    };
    let status = invalid(
        caller.secrets().create_secret(request).await,
        &["namespace", "name", "value", "description", "metadata", "request_id"],
    );
    assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), 6);
}

#[tokio::test]
async fn each_create_is_a_new_revision_with_a_new_etag() {
    let room = Room::open().await;
    let (first, second) = (room.create("A", "v").await, room.create("B", "v").await);
    assert!(second.revision > first.revision);
    assert_ne!(second.etag, first.etag);
    assert_ne!(second.id, first.id);
}

#[tokio::test]
async fn a_binary_value_is_not_mistaken_for_text() {
    let room = Room::open().await;
    room.create_with(CreateSecretRequest { value: binary("plain"), ..create("A", "") }).await;
    assert_eq!(room.value("A").await, Value::Binary(b"plain".to_vec()));
}

fn now() -> i128 {
    i128::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

//! The calls of a client: what they send, and what they make of the replies.

use std::time::{Duration, SystemTime};

use serde_json::json;
use strongroom_client::v1::watch_secrets_response::Step;
use strongroom_client::v1::{self, SecretEvent, WatchBookmark, WatchSecretsResponse};
use strongroom_client::{
    Client, Code, Consistency, ErrorKind, Generator, NewValue, RotationPolicy, SecretEventType, WatchEvent,
};
use tonic_types::ErrorDetails;

use crate::fake::{Answer, Fake};
use crate::{reply, secret};

async fn service() -> (Fake, Client) {
    let fake = Fake::start([]);
    let client = fake.builder().namespace("team").connect().await.unwrap();
    (fake, client)
}

#[tokio::test]
async fn the_options_of_a_call_are_sent() {
    let (fake, client) = service().await;
    fake.always("CreateSecret", &v1::CreateSecretResponse { secret: Some(secret("a", "")), revision: 7 });
    fake.always("RotateSecret", &v1::RotateSecretResponse { version: 2, ..Default::default() });
    fake.always("UpdateSecret", &v1::UpdateSecretResponse::default());
    let policy = RotationPolicy { interval: Some(Duration::from_secs(3600)), ..Default::default() };
    let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    let created = client
        .create("a", Generator::password(40))
        .description("of tests")
        .metadata("k", "v")
        .expires_at(expiry)
        .rotation_policy(policy)
        .return_value()
        .min_revision(6)
        .await
        .unwrap();
    assert_eq!((created.name.as_str(), created.read_at), ("a", 7));
    let sent: v1::CreateSecretRequest = fake.seen()[0].message();
    assert_eq!(
        (sent.namespace.as_str(), sent.name.as_str(), sent.description.as_str()),
        ("team", "a", "of tests")
    );
    assert!(sent.value.is_none() && sent.generate.is_some() && sent.return_value && sent.min_revision == 6);
    assert_eq!(sent.expires_at.unwrap().seconds, 4_000_000_000);
    assert_eq!(sent.rotation_policy.unwrap().interval.unwrap().seconds, 3600);
    assert!(uuid::Uuid::parse_str(&sent.request_id).is_ok());

    client.rotate("a", b"\0\xff".as_slice()).grace_period(Duration::from_secs(5)).etag("e").await.unwrap();
    client.rotate("a", NewValue::ByPolicy).request_id("own").await.unwrap();
    assert_eq!(client.stage("a", "next").claim("c").await.unwrap().number, 2);
    let sent: Vec<v1::RotateSecretRequest> = fake.seen().iter().map(crate::fake::Seen::message).collect();
    assert_eq!(sent[0].value.as_ref().unwrap().as_bytes(), Some(b"\0\xff".as_slice()));
    assert_eq!(
        (sent[0].grace_period.unwrap().seconds, sent[0].etag.as_str(), sent[0].stage),
        (5, "e", false)
    );
    assert_eq!((sent[1].value.is_none(), sent[1].request_id.as_str()), (true, "own"));
    assert_eq!((sent[2].stage, sent[2].claim_id.as_str()), (true, "c"));

    client.update("a").description("").metadata([("x", "y")]).expires_at(None).await.unwrap();
    let sent: v1::UpdateSecretRequest = fake.seen()[0].message();
    assert_eq!((sent.description.as_deref(), sent.metadata.len(), sent.value.is_none()), (Some(""), 1, true));
    assert_eq!(sent.update_mask.unwrap().paths, ["metadata", "expires_at"]);
}

#[tokio::test]
async fn a_read_can_ask_for_a_revision_or_for_a_cached_answer() {
    let (fake, client) = service().await;
    fake.always("GetSecret", &reply("a", "one"));
    fake.always("BatchGetSecrets", &v1::BatchGetSecretsResponse::default());
    fake.always("ListSecretVersions", &v1::ListSecretVersionsResponse::default());
    fake.always("ListSecrets", &v1::ListSecretsResponse::default());
    fake.always("ListNamespaces", &v1::ListNamespacesResponse::default());
    fake.always("ResolveReferences", &v1::ResolveReferencesResponse::default());
    let cached = Consistency::Cached;
    let secret = client.get("a").min_revision(9).consistency(cached).await.unwrap();
    assert_eq!(
        (secret.value.as_ref().unwrap().as_text(), secret.read_at, secret.value_version),
        (Some("one"), 7, Some(1))
    );
    client.batch_get(["a"]).min_revision(9).consistency(cached).metadata_only().await.unwrap();
    client.versions("a").min_revision(9).consistency(cached).await.unwrap();
    assert!(client.list().min_revision(9).consistency(cached).stream().next().await.is_none());
    assert!(client.list_namespaces().min_revision(9).consistency(cached).stream().next().await.is_none());
    client.resolve(json!({})).consistency(cached).await.unwrap();
    let seen = fake.seen();
    let get: v1::GetSecretRequest = seen[0].message();
    let batch: v1::BatchGetSecretsRequest = seen[1].message();
    let versions: v1::ListSecretVersionsRequest = seen[2].message();
    let list: v1::ListSecretsRequest = seen[3].message();
    let namespaces: v1::ListNamespacesRequest = seen[4].message();
    let resolve: v1::ResolveReferencesRequest = seen[5].message();
    let revisions = [
        get.min_revision,
        batch.min_revision,
        versions.min_revision,
        list.min_revision,
        namespaces.min_revision,
    ];
    assert_eq!(revisions, [9; 5]);
    let asked = [
        get.consistency(),
        batch.consistency(),
        versions.consistency(),
        list.consistency(),
        namespaces.consistency(),
        resolve.consistency(),
    ];
    assert_eq!(asked, [cached; 6]);
}

#[tokio::test]
async fn a_list_is_a_stream_over_its_pages_and_ends_after_an_error() {
    let (fake, client) = service().await;
    let page = |names: &[&str], token: &str| {
        let items = names.iter().map(|name| secret(name, "")).collect();
        Answer::reply(&v1::ListSecretsResponse { items, next_page_token: token.into(), ..Default::default() })
    };
    fake.then("ListSecrets", [page(&["a", "b"], "one"), page(&[], "two"), page(&["c"], "")]);
    let names: Vec<String> = tokio_stream::StreamExt::collect::<Vec<_>>(
        client.list().page_size(2).name_prefix("p").matching("k", "v").stream(),
    )
    .await
    .into_iter()
    .map(|secret| secret.unwrap().name)
    .collect();
    assert_eq!(names, ["a", "b", "c"]);
    let sent: v1::ListSecretsRequest = fake.seen()[2].message();
    assert_eq!((sent.limit, sent.name_prefix.as_str(), sent.page_token.as_str()), (Some(2), "p", "two"));
    assert_eq!(sent.metadata["k"], "v");

    let denied = Answer::refusal(Code::PermissionDenied, "ACCESS_DENIED", ErrorDetails::new());
    fake.then("ListSecrets", [page(&["a"], "one"), denied]);
    let mut list = client.list().stream();
    assert_eq!(list.next().await.unwrap().unwrap().name, "a");
    assert_eq!(list.next().await.unwrap().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(list.next().await.is_none());
}

#[tokio::test]
async fn namespaces_are_a_stream_over_their_pages_too() {
    let (fake, client) = service().await;
    let page = |names: &[&str], token: &str| {
        let namespace = |name: &&str| v1::Namespace { name: (*name).into(), secrets: 2, deleted_secrets: 1 };
        let items = names.iter().map(namespace).collect();
        Answer::reply(&v1::ListNamespacesResponse {
            items,
            next_page_token: token.into(),
            ..Default::default()
        })
    };
    fake.then("ListNamespaces", [page(&["team", "team/a"], "one"), page(&[], "two"), page(&["team/b"], "")]);
    let mut list = client.list_namespaces().below("team").page_size(2).stream();
    let mut found = Vec::new();
    while let Some(namespace) = list.next().await {
        let namespace = namespace.unwrap();
        assert_eq!((namespace.secrets, namespace.deleted_secrets), (2, 1));
        found.push(namespace.name);
    }
    assert_eq!(found, ["team", "team/a", "team/b"]);
    let sent: Vec<v1::ListNamespacesRequest> = fake.seen().iter().map(crate::fake::Seen::message).collect();
    assert!(sent.iter().all(|request| request.below == "team" && request.limit == Some(2)));
    assert_eq!(sent.iter().map(|request| &*request.page_token).collect::<Vec<_>>(), ["", "one", "two"]);

    let denied = Answer::refusal(Code::PermissionDenied, "ACCESS_DENIED", ErrorDetails::new());
    fake.then("ListNamespaces", [page(&["team"], "one"), denied]);
    let mut list = client.list_namespaces().stream();
    assert_eq!(list.next().await.unwrap().unwrap().name, "team");
    assert_eq!(list.next().await.unwrap().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(list.next().await.is_none());
}

#[tokio::test]
async fn a_snapshot_is_told_whole_and_then_the_changes() {
    let (fake, client) = service().await;
    let event = |kind: SecretEventType, id: &str, revision| {
        let secret = v1::Secret { id: id.into(), name: id.into(), ..Default::default() };
        let event = SecretEvent {
            r#type: kind.into(),
            secret: Some(secret),
            revision,
            resume_revision: revision,
            ..Default::default()
        };
        WatchSecretsResponse { step: Some(Step::Event(event)) }
    };
    let bookmark = |revision| WatchSecretsResponse {
        step: Some(Step::Bookmark(WatchBookmark { revision, synced: true })),
    };
    let broken = Some(Answer::refusal(Code::Unavailable, "WATCH_LAGGED", ErrorDetails::new()));
    let snapshot = SecretEventType::Snapshot;
    let denied = Some(Answer::refusal(Code::PermissionDenied, "ACCESS_DENIED", ErrorDetails::new()));
    fake.then(
        "WatchSecrets",
        [
            Answer::stream(&[event(snapshot, "gone", 5)], broken),
            Answer::stream(
                &[event(snapshot, "a", 6), bookmark(6), event(SecretEventType::Rotated, "a", 7)],
                denied,
            ),
        ],
    );
    let mut events = client.watch().snapshot().name_prefix("p").include_children().events();
    let mut told = Vec::new();
    let ended = loop {
        told.push(match events.next().await.unwrap() {
            Ok(WatchEvent::Change(event)) => {
                format!("{:?} {} {}", event.kind, event.secret.name, event.revision)
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => break error,
        });
    };
    assert_eq!(told, ["Snapshot a 6", "Synced { revision: 6 }", "Rotated a 7"]);
    assert_eq!(ended.kind(), ErrorKind::PermissionDenied);
    assert!(events.next().await.is_none());
    let sent: v1::WatchSecretsRequest = fake.seen()[0].message();
    assert_eq!(
        (sent.namespace.as_str(), sent.name_prefix.as_str(), sent.include_children),
        ("team", "p", true)
    );
}

#[tokio::test]
async fn a_closed_client_fails_what_is_under_way_and_what_comes_later() {
    let (fake, client) = service().await;
    fake.then("GetSecret", [Answer::Silence]);
    let under_way = tokio::spawn(client.get("a").into_future());
    while fake.seen_by("GetSecret").is_empty() {
        tokio::task::yield_now().await;
    }
    client.in_namespace("other").close();
    let errors = [under_way.await.unwrap().unwrap_err(), client.get("a").await.unwrap_err()];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.to_string().contains("closed"), "{error}");
    }
}

#[tokio::test]
async fn no_print_shows_a_value() {
    let (fake, client) = service().await;
    fake.always("GetSecret", &reply("a", "hidden"));
    fake.always(
        "ResolveReferences",
        &v1::ResolveReferencesResponse {
            document: Some(prost_types::Struct {
                fields: [(
                    "k".into(),
                    prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("hidden".into())) },
                )]
                .into(),
            }),
            credentials: vec![v1::Credential { value: Some("hidden".into()), ..Default::default() }],
            ..Default::default()
        },
    );
    let secret = client.get("a").await.unwrap();
    let resolved = client.resolve(json!({"k": "$ secrets.a"})).await.unwrap();
    assert_eq!(resolved.document().unwrap(), &json!({"k": "hidden"}));
    let shown = format!("{client:?} {secret:?} {secret:#?} {resolved:?} {:?}", resolved.credentials);
    assert!(!shown.contains("hidden") && !shown.contains("srk_"), "{shown}");
}

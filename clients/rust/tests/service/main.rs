//! The client against a fake service: what it sends, when it sends it again, and what it makes of the answers.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // a test that fails should stop

mod cache;
mod calls;
mod credentials;
mod failover;
mod fake;
mod tls;
mod watch;

use std::time::{Duration, Instant};

use strongroom_client::v1::{
    CreateApiKeyRequest, CreateSecretRequest, CreateSecretResponse, GetSecretRequest, GetSecretResponse,
    ListSecretsRequest, ListSecretsResponse, Secret,
};
use strongroom_client::{Client, Code, ConnectError, ErrorReason, RetryPolicy};
use tokio::net::TcpListener;
use tonic_types::ErrorDetails;
use uuid::Uuid;

use crate::fake::{Answer, Fake, HealthCheckResponse};

fn secret(name: &str, value: &str) -> Secret {
    Secret { name: name.into(), value: Some(value.into()), ..Secret::default() }
}

fn reply(name: &str, value: &str) -> GetSecretResponse {
    GetSecretResponse { secret: Some(secret(name, value)), version: 1, revision: 7 }
}

fn got(name: &str, value: &str) -> Answer {
    Answer::reply(&reply(name, value))
}

fn unavailable() -> Answer {
    Answer::refusal(Code::Unavailable, "STORE_UNAVAILABLE", ErrorDetails::new())
}

fn to_create(name: &str) -> CreateSecretRequest {
    CreateSecretRequest { name: name.into(), value: Some("hidden".into()), ..CreateSecretRequest::default() }
}

#[tokio::test]
async fn every_request_presents_the_key_the_namespace_and_the_time_that_it_has() {
    let fake = Fake::start([got("a", "one"), got("a", "one"), got("b", "two")]);
    let client = fake.builder().namespace("team").user_agent("tests/1").connect().await.unwrap();
    let reply = client.secrets().get("a").await.unwrap();
    assert_eq!(reply.value().unwrap().as_text(), Some("one"));
    let elsewhere =
        GetSecretRequest { namespace: "other".into(), name: "a".into(), ..GetSecretRequest::default() };
    client.secrets().get(elsewhere).await.unwrap();
    client.with_deadline(Duration::from_secs(5)).secrets().get("b").await.unwrap();

    let seen = fake.seen();
    assert_eq!(seen[0].path, "/strongroom.v1.SecretService/GetSecret");
    assert_eq!(seen[0].header("authorization"), "Bearer srk_id_secret");
    assert!(seen[0].header("user-agent").starts_with("tests/1 "), "{}", seen[0].header("user-agent"));
    let namespaces: Vec<_> = seen.iter().map(|seen| seen.message::<GetSecretRequest>().namespace).collect();
    assert_eq!(namespaces, ["team", "other", "team"]);
    // Microseconds, in at most eight digits.
    let timeout = |at: usize| -> u64 {
        let text = seen[at].header("grpc-timeout");
        text.strip_suffix('u').unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    };
    assert!((25_000_000..=30_000_000).contains(&timeout(0)), "{}", timeout(0));
    assert!((1_000_000..=5_000_000).contains(&timeout(2)), "{}", timeout(2));
}

#[tokio::test]
async fn a_change_is_sent_again_with_the_same_request_id() {
    let busy = ErrorDetails::with_retry_info(Some(Duration::from_millis(120)));
    let reply = CreateSecretResponse { secret: Some(secret("a", "")), revision: 7 };
    let fake = Fake::start([
        unavailable(),
        Answer::refusal(Code::ResourceExhausted, "TOO_MANY_REQUESTS", busy),
        Answer::reply(&reply),
        Answer::reply(&reply),
    ]);
    let client = fake.client().await;
    let start = Instant::now();
    assert_eq!(client.secrets().create(to_create("a")).await.unwrap().revision, 7);
    assert!(start.elapsed() >= Duration::from_millis(120), "{:?}", start.elapsed());
    let seen = fake.seen();
    let sent: Vec<CreateSecretRequest> = seen.iter().map(fake::Seen::message).collect();
    assert!(sent.len() == 3 && sent.iter().all(|again| *again == sent[0]));
    assert_eq!(Uuid::parse_str(&sent[0].request_id).unwrap().get_version_num(), 4);

    // The caller's own id is kept.
    let own = CreateSecretRequest { request_id: Uuid::nil().to_string(), ..to_create("a") };
    client.secrets().create(own.clone()).await.unwrap();
    assert_eq!(fake.seen()[0].message::<CreateSecretRequest>(), own);
}

#[tokio::test]
async fn the_policy_says_how_often() {
    let fake = Fake::start((0..8).map(|_| unavailable()));
    let five =
        RetryPolicy { attempts: Some(5), first_delay: Duration::from_millis(1), ..RetryPolicy::default() };
    let error = fake
        .builder()
        .retry(five)
        .connect()
        .await
        .unwrap()
        .secrets()
        .create(to_create("a"))
        .await
        .unwrap_err();
    assert_eq!((error.reason(), error.code()), (Some(ErrorReason::StoreUnavailable), Code::Unavailable));
    let seen = fake.seen();
    assert_eq!(seen.len(), 5);
    let sent: CreateSecretRequest = seen[0].message();
    assert_eq!(error.sent_request_id(), Some(&*sent.request_id));
    assert!(!format!("{error} {error:?}").contains("hidden"));

    let once = fake.builder().retry(RetryPolicy::NEVER).connect().await.unwrap();
    assert!(once.secrets().get("a").await.is_err());
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn what_has_no_request_id_and_makes_something_is_sent_once() {
    let fake = Fake::start([unavailable()]);
    let client = fake.client().await;
    let request = CreateApiKeyRequest { name: "key".into(), ..CreateApiKeyRequest::default() };
    let error = client.access().create_api_key(request).await.unwrap_err();
    assert_eq!((error.code(), error.sent_request_id()), (Code::Unavailable, None));
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_sent_once_and_says_all_that_the_service_said() {
    let mut details = ErrorDetails::with_bad_request_violation("name", "must be a name");
    details.set_resource_info("strongroom.v1.Secret", "team/a", "", "");
    let fake = Fake::start([
        Answer::refusal(Code::InvalidArgument, "VALIDATION_FAILED", details),
        Answer::refusal(Code::NotFound, "SECRET_MISLAID", ErrorDetails::new()),
    ]);
    let client = fake.client().await;
    let error = client.secrets().get("a").await.unwrap_err();
    assert_eq!(error.reason(), Some(ErrorReason::ValidationFailed));
    assert_eq!(
        (error.to_string().as_str(), error.request_id()),
        ("It is VALIDATION_FAILED.", Some("server-made-id"))
    );
    assert_eq!((error.violations().len(), error.resource()), (1, Some("team/a")));
    let error = client.secrets().get("a").await.unwrap_err();
    assert_eq!((error.reason(), error.reason_name()), (None, Some("SECRET_MISLAID")));
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_at_the_deadline() {
    let fake = Fake::start([Answer::Silence]);
    let client = fake.builder().deadline(Duration::from_millis(80)).connect().await.unwrap();
    let start = Instant::now();
    let error = client.secrets().get("a").await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let page = |name: &str, token: &str| {
        Answer::reply(&ListSecretsResponse {
            items: vec![secret(name, "")],
            next_page_token: token.into(),
            ..ListSecretsResponse::default()
        })
    };
    let fake = Fake::start([page("a", "one"), unavailable(), page("b", "two"), page("c", "")]);
    let client = fake.client().await;
    let request =
        ListSecretsRequest { offset: Some(3), name_prefix: "p".into(), ..ListSecretsRequest::default() };
    let (mut pages, mut names) = (client.secrets().pages(request), Vec::new());
    while let Some(page) = pages.next().await.unwrap() {
        names.extend(page.items.into_iter().map(|secret| secret.name));
    }
    assert_eq!(names, ["a", "b", "c"]);
    assert!(pages.next().await.unwrap().is_none());
    let asked: Vec<ListSecretsRequest> = fake.seen().iter().map(fake::Seen::message).collect();
    let asked: Vec<_> =
        asked.iter().map(|request| (request.offset, &*request.page_token, &*request.name_prefix)).collect();
    let expected = [(Some(3), "", "p"), (None, "one", "p"), (None, "one", "p"), (None, "two", "p")];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn whether_it_serves_is_asked_once_and_without_the_key() {
    let health = |status| Answer::reply(&HealthCheckResponse { status });
    let fake = Fake::start([health(1), health(2), unavailable()]);
    let client = fake.client().await;
    assert!(client.is_serving().await.unwrap());
    assert!(!client.is_serving().await.unwrap());
    assert_eq!(client.is_serving().await.unwrap_err().code(), Code::Unavailable);
    let seen = fake.seen();
    assert_eq!((seen.len(), seen[0].path.as_str()), (3, "/grpc.health.v1.Health/Check"));
    assert!(seen.iter().all(|seen| seen.header("authorization").is_empty()));
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_again() {
    let fake = Fake::start([got("a", "one")]);
    // A way to the service that cuts the first connection off, and lets the second through.
    let way = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = way.local_addr().unwrap();
    let service = fake.address;
    tokio::spawn(async move {
        drop(way.accept().await.unwrap());
        let (mut near, _) = way.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(service).await.unwrap();
        tokio::io::copy_bidirectional(&mut near, &mut far).await.unwrap();
    });
    let client = fake.builder().server(address.to_string()).connect().await.unwrap();
    let reply = client.secrets().get("a").await.unwrap();
    assert_eq!(reply.value().unwrap().as_bytes(), Some(b"one".as_slice()));
}

#[tokio::test]
async fn an_address_that_nobody_listens_on_shows_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::builder().server(address.to_string()).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.starts_with(&format!("http://{address} cannot be reached: ")), "{said}");
    assert!(said.contains("refused"), "{said}");
}

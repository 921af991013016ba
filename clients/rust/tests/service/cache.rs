//! The cache: what it asks for, what it serves, and when it forgets.

use std::future::Future;
use std::time::Duration;

use strongroom_client::v1::watch_secrets_response::Step;
use strongroom_client::v1::{
    GetSecretRequest, GetSecretResponse, Secret, SecretEvent, SecretEventType, WatchBookmark,
    WatchSecretsResponse,
};
use strongroom_client::{Cache, CachePolicy, CachedSecret, Code, ErrorKind, RetryPolicy};
use tokio::time::timeout;
use tonic_types::ErrorDetails;

use crate::fake::{Answer, Fake, Sender, Way};

fn at(name: &str, value: &str, revision: u64) -> GetSecretResponse {
    let secret = Secret {
        name: name.into(),
        id: format!("id-{name}"),
        value: Some(value.into()),
        version: 1,
        ..Secret::default()
    };
    GetSecretResponse { secret: Some(secret), version: 1, revision }
}

fn bookmark(revision: u64) -> WatchSecretsResponse {
    WatchSecretsResponse { step: Some(Step::Bookmark(WatchBookmark { revision, synced: true })) }
}

fn event(kind: SecretEventType, name: &str, revision: u64) -> WatchSecretsResponse {
    let secret = Secret { id: format!("id-{name}"), name: name.into(), ..Secret::default() };
    let event = SecretEvent {
        r#type: kind.into(),
        secret: Some(secret),
        revision,
        resume_revision: revision,
        ..Default::default()
    };
    WatchSecretsResponse { step: Some(Step::Event(event)) }
}

fn denied() -> Answer {
    Answer::refusal(Code::PermissionDenied, "ACCESS_DENIED", ErrorDetails::new())
}

/// A service whose watch is at revision 5, and a cache of it.
async fn cached(policy: CachePolicy) -> (Fake, Sender, Cache) {
    let fake = Fake::start([]);
    let (events, live) = Answer::live();
    fake.then("WatchSecrets", [live]);
    events.send(&bookmark(5));
    let cache = fake.client().await.cached(policy);
    (fake, events, cache)
}

fn text(secret: &CachedSecret) -> &str {
    secret.value.as_ref().unwrap().as_text().unwrap()
}

/// Reads until a read is as expected.
async fn until<R: Future>(mut read: impl FnMut() -> R, met: impl Fn(&R::Output) -> bool) -> R::Output {
    let reads = async {
        loop {
            let outcome = read().await;
            if met(&outcome) {
                return outcome;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), reads).await.unwrap()
}

#[tokio::test]
async fn a_secret_is_asked_for_once_and_again_when_it_changes() {
    let (fake, events, cache) = cached(CachePolicy::default()).await;
    fake.then("GetSecret", [Answer::reply(&at("a", "one", 5))]);
    for _ in 0..10 {
        let secret = cache.get("a").await.unwrap();
        assert_eq!((text(&secret), secret.is_stale(), secret.stale_for()), ("one", false, None));
    }
    let asked = fake.seen_by("GetSecret");
    assert_eq!((asked.len(), asked[0].message::<GetSecretRequest>().min_revision), (1, 5));

    fake.then("GetSecret", [Answer::reply(&at("a", "two", 6))]);
    events.send(&event(SecretEventType::Rotated, "a", 6));
    let read = |read: &Result<CachedSecret, _>| read.as_ref().is_ok_and(|secret| text(secret) == "two");
    until(|| cache.get("a"), read).await.unwrap();
    let asked = fake.seen_by("GetSecret");
    assert_eq!((asked.len(), asked[0].message::<GetSecretRequest>().min_revision), (1, 6));

    // What changes nothing that can be read asks for nothing, and a deletion is told by the service.
    events.send(&event(SecretEventType::Staged, "a", 7));
    events.send(&event(SecretEventType::Deleted, "a", 8));
    let gone = Answer::refusal(Code::NotFound, "SECRET_NOT_FOUND", ErrorDetails::new());
    fake.then("GetSecret", [gone]);
    let error = until(|| cache.get("a"), Result::is_err).await.unwrap_err();
    assert_eq!((error.kind(), fake.seen_by("GetSecret").len()), (ErrorKind::NotFound, 1));
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_read() {
    let (fake, _events, cache) = cached(CachePolicy::default()).await;
    fake.then("GetSecret", [Answer::reply(&at("a", "one", 5))]);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let cache = cache.clone();
        asking.spawn(async move { cache.get("a").await.map(|secret| text(&secret) == "one") });
    }
    assert!(asking.join_all().await.into_iter().all(|read| read.unwrap()));
    assert_eq!(fake.seen_by("GetSecret").len(), 1);
}

#[tokio::test]
async fn the_last_known_value_is_served_and_said_to_be_stale_after_the_connection_is_lost() {
    for (serve_stale, served) in [(Duration::from_secs(3600), true), (Duration::ZERO, false)] {
        let fake = Fake::start([]);
        fake.then("WatchSecrets", [Answer::stream(&[bookmark(5)], None)]);
        fake.then("GetSecret", [Answer::reply(&at("a", "one", 5))]);
        let way = Way::to(fake.address).await;
        let once = RetryPolicy::NEVER;
        let client = fake.builder().server(way.address.to_string()).retry(once).connect().await.unwrap();
        let cache = client.cached(CachePolicy { serve_stale, ..CachePolicy::default() });
        assert!(!cache.get("a").await.unwrap().is_stale());
        way.cut().await;
        let read = until(|| cache.get("a"), |read| read.as_ref().map_or(true, CachedSecret::is_stale)).await;
        match read {
            Ok(secret) => assert!(served && text(&secret) == "one" && secret.stale_for().is_some()),
            Err(error) => assert!(!served && error.kind() == ErrorKind::Unavailable, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_denial_empties_the_cache_at_once() {
    let (fake, events, cache) = cached(CachePolicy::default()).await;
    fake.always("GetSecret", &at("a", "one", 5));
    cache.get("a").await.unwrap();
    cache.get("b").await.unwrap();
    // The right to the one name is taken away: the other name stays.
    fake.then("GetSecret", [denied(), denied()]);
    events.send(&event(SecretEventType::Rotated, "a", 6));
    let error = until(|| cache.get("a"), Result::is_err).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    fake.seen();
    cache.get("b").await.unwrap();
    assert!(fake.seen_by("GetSecret").is_empty());
    // The right to list is taken away: nothing is kept.
    fake.then("GetSecret", std::iter::repeat_with(denied).take(1000));
    events.end(denied());
    until(|| cache.get("b"), Result::is_err).await.unwrap_err();
}

#[tokio::test]
async fn a_refused_credential_empties_every_namespace() {
    let (fake, _events, cache) = cached(CachePolicy::default()).await;
    fake.always("GetSecret", &at("a", "one", 5));
    fake.then("WatchSecrets", [Answer::stream(&[bookmark(5)], None)]);
    let elsewhere = cache.in_namespace("elsewhere");
    cache.get("a").await.unwrap();
    elsewhere.get("a").await.unwrap();
    assert_eq!(fake.seen_by("GetSecret").len(), 2);
    let revoked = Answer::refusal(Code::Unauthenticated, "CREDENTIAL_INVALID", ErrorDetails::new());
    fake.then("GetSecret", [revoked]);
    assert_eq!(cache.get("b").await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    fake.seen();
    elsewhere.get("a").await.unwrap();
    assert_eq!(fake.seen_by("GetSecret").len(), 1);
}

#[tokio::test]
async fn without_the_right_to_list_nothing_is_kept() {
    let fake = Fake::start([]);
    fake.then("WatchSecrets", [denied()]);
    fake.always("GetSecret", &at("a", "one", 5));
    let cache = fake.client().await.cached(CachePolicy::default());
    for _ in 0..3 {
        cache.get("a").await.unwrap();
    }
    assert_eq!(fake.seen_by("GetSecret").len(), 3);
}

#[tokio::test]
async fn a_full_cache_drops_what_was_not_read_lately() {
    let (fake, _events, cache) = cached(CachePolicy { capacity: 2, ..CachePolicy::default() }).await;
    fake.always("GetSecret", &at("a", "one", 5));
    for name in ["a", "b", "a", "c", "a"] {
        cache.get(name).await.unwrap();
    }
    assert_eq!(fake.seen_by("GetSecret").len(), 3);
    cache.get("b").await.unwrap();
    assert_eq!(fake.seen_by("GetSecret").len(), 1);
    cache.clear();
    cache.get("b").await.unwrap();
    assert_eq!(fake.seen_by("GetSecret").len(), 1);
}

#[tokio::test]
async fn a_closed_client_closes_its_caches() {
    let (fake, _events, cache) = cached(CachePolicy::default()).await;
    fake.always("GetSecret", &at("a", "hidden", 5));
    let client = fake.client().await;
    let own = client.cached(CachePolicy::default());
    client.close();
    assert_eq!(own.get("a").await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(cache.get("a").await.is_ok());
    let shown = format!("{cache:?} {:?}", cache.get("a").await.unwrap());
    assert!(!shown.contains("hidden"), "{shown}");
}

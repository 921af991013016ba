//! A catalog that can be behind the store: for how long it is served, and that the same request at two replicas is carried out
//! once and answered alike.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, advance, pause, sleep};

use super::fixture::{Fixture, options, reopen_with, request};
use super::shared_store::{Head, SharedStore};
use super::{
    App, Error, NewBinding, NewSecret, NoPrincipal, Options, Presented, Promotion, SecretRotation,
    SecretUpdate, ValueSource, VersionChange,
};
use crate::auth::{
    Authorization, BuiltInRole, Delete, Effect, PrincipalName, RoleName, Rotate, Scope, Write,
};
use crate::config::CachedReads;
use crate::crypto::MasterKeys;
use crate::domain::{Description, Metadata, Namespace, Revision, SecretId, Value};
use crate::store::{self, Store};

/// The service over a store that passes for a shared one.
async fn shared() -> (Fixture, Arc<SharedStore>) {
    let store = SharedStore::over(store::open_memory().unwrap());
    let cached_reads = CachedReads { max_age: Duration::from_secs(7) };
    let master = Arc::new(MasterKeys::generate().unwrap());
    let fixture = Fixture::with_options(store.clone(), master, Options { cached_reads, ..options() }).await;
    fixture.app.reach_head().await.unwrap();
    (fixture, store)
}

fn is_unavailable<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Unavailable(_)))
}

#[tokio::test]
async fn only_so_many_requests_wait_for_a_revision_that_no_reply_has_told() {
    let (fixture, _store) = shared().await;
    let (app, told) = (&fixture.app, fixture.app.revision());
    pause();
    let began = Instant::now();
    let ask = || async { (app.at_least(Revision(u64::MAX)).await, began.elapsed().as_secs()) };
    let mut asked: Vec<_> = (0..300).map(|_| Box::pin(ask())).collect();
    let mut answers = Vec::new();
    poll_fn(|context| {
        asked.retain_mut(|request| match request.as_mut().poll(context) {
            Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            Poll::Pending => true,
        });
        if asked.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert!(answers.iter().all(|(outcome, _)| matches!(outcome, Err(Error::Unavailable(_)))));
    let waited = answers.iter().filter(|(_, after)| *after == 10).count();
    let at_once = answers.iter().filter(|(_, after)| *after == 0).count();
    assert_eq!((waited, at_once), (256, 44));
    assert!(app.at_least(told).await.is_ok());
}

#[tokio::test]
async fn a_replica_that_cannot_read_the_head_serves_for_the_time_of_cached_reads_and_no_longer() {
    let (fixture, store) = shared().await;
    let app = &fixture.app;
    let confirmed = || app.access.confirm(&Fixture::authorization(&fixture.root));
    pause();
    for head in [Head::Away, Head::Silent] {
        app.reach_head().await.unwrap();
        store.head.send_replace(head);
        let cut_at = Instant::now();
        assert!(is_unavailable(app.reach_head().await), "what must be current is refused");
        assert!(cut_at.elapsed().as_secs() <= 5, "{:?}", cut_at.elapsed());
        while app.is_recent() {
            assert!(confirmed().is_ok());
            sleep(Duration::from_millis(100)).await;
        }
        let served = cut_at.elapsed().as_millis();
        assert!((7_000..7_200).contains(&served), "it served for {served} ms");
        assert!(is_unavailable(confirmed()), "nobody is known");
        let ended = app.access.ended(&Fixture::authorization(&fixture.root)).await;
        assert!(matches!(ended, Error::Unavailable(_)), "streams end too");

        // It is served again a second later, though nobody asks for the head.
        store.head.send_replace(Head::Newest);
        sleep(Duration::from_millis(1_100)).await;
        assert!(app.is_recent() && confirmed().is_ok());
        // It stays so.
        sleep(Duration::from_secs(60)).await;
        assert!(app.is_recent());
    }
}

#[tokio::test]
async fn a_request_waits_until_the_catalog_shows_the_head() {
    let (fixture, store) = shared().await;
    store.head.send_replace(Head::Next);
    let app = fixture.app.clone();
    let reaches = tokio::spawn(async move { app.reach_head().await });
    tokio::task::yield_now().await;
    assert!(!reaches.is_finished(), "the head is not in the catalog yet");
    fixture.create("a", "a").await.unwrap();
    reaches.await.unwrap().unwrap();

    // A catalog that does not get there ends the wait.
    pause();
    let begun = Instant::now();
    assert!(is_unavailable(fixture.app.reach_head().await));
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_process_that_owns_its_store_waits_for_nothing_and_is_always_recent() {
    let fixture = Fixture::open().await;
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(pin!(fixture.app.reach_head()).poll(&mut context), Poll::Ready(Ok(()))));
    let reached = fixture.app.revision();
    assert!(matches!(pin!(fixture.app.at_least(reached)).poll(&mut context), Poll::Ready(Ok(()))));
    pause();
    advance(Duration::from_secs(3600)).await;
    assert!(fixture.app.is_recent());
    let (_, unknown) = Fixture::open().await.create_api_key().await;
    let refused = fixture.app.access.identify(Presented::ApiKey(&unknown), true);
    assert!(matches!(refused, Err(NoPrincipal::Refused(_))), "the refusal is final");
}

#[tokio::test]
async fn only_a_key_that_another_replica_can_have_made_is_looked_for_again() {
    let (fixture, _) = shared().await;
    let (_, unknown) = Fixture::open().await.create_api_key().await;
    let identify = |key: &str| fixture.app.access.identify(Presented::Bearer(key), true);
    assert!(matches!(identify(&unknown), Err(NoPrincipal::KeyNotKnown(_))));
    for no_key in ["", "nonsense", "eyJhbGciOiJub25lIn0.e30."] {
        assert!(matches!(identify(no_key), Err(NoPrincipal::Refused(_))), "{no_key}");
    }
    assert!(identify(&fixture.root_key).is_ok());
}

/// What a change came to, as text that can be compared.
type Told = Result<String, Error>;

/// A store with the secret `a` of two versions, and a deleted secret.
struct Site {
    fixture: Fixture,
    /// The etag of `a`, before any change of a test.
    etag: String,
    deleted: SecretId,
}

/// Has two replicas carry out the same request at the same time: the second one finds no record of it, or is about to commit its
/// own, then the first one carries it out, and then the second one goes on. Asserts that both tell the same success.
async fn at_once(change: impl AsyncFn(&Site, &App) -> Told) {
    let kept = || Options { deletion_retention: Duration::from_secs(3600), ..options() };
    let (store, master) = (store::open_memory().unwrap(), Arc::new(MasterKeys::generate().unwrap()));
    let fixture = Fixture::with_options(store, master, kept()).await;
    fixture.create("a", "one").await.unwrap();
    fixture.rotate("a", "two").await;
    fixture.create("gone", "v").await.unwrap();
    let deleted = fixture.app.secrets.delete(&fixture.grant("gone"), None, None).await.unwrap().id;
    let etag = fixture.secret("a").etag();
    let held = SharedStore::over(fixture.store.clone());
    let store: Arc<dyn Store> = held.clone();
    let other = reopen_with(&store, &fixture.master, kept()).await.unwrap();
    other.reach_head().await.unwrap();
    let site = Site { fixture, etag, deleted };
    let first = &site.fixture.app;

    held.holds.send_replace(true);
    let begun = held.looked.borrow().to_owned();
    let (of_second, of_first) = tokio::join!(change(&site, &other), async {
        held.looked.subscribe().wait_for(|looked| *looked > begun).await.unwrap();
        let told = change(&site, first).await.unwrap();
        other.at_least(first.revision()).await.unwrap();
        held.holds.send_replace(false);
        told
    });
    assert_eq!(of_second.unwrap(), of_first);
    let changed = first.revision();
    assert_eq!(change(&site, &other).await.unwrap(), of_first, "so does a repeat");
    assert_eq!((first.revision(), other.revision()), (changed, changed), "it was made once");
}

fn value(text: &str) -> ValueSource {
    ValueSource::Value(Value::text(text.to_owned()).unwrap())
}

#[tokio::test]
async fn a_request_at_two_replicas_at_once_is_made_once_and_both_tell_its_success() {
    at_once(async |site, app| {
        let (description, metadata) = (Description::default(), Metadata::default());
        let source = value("v");
        let new = NewSecret { source, description, metadata, expiry: None, rotation_policy: None };
        let made = app.secrets.create(&site.fixture.grant::<Write>("new"), new, Some(&request())).await?;
        Ok(format!("{} {:?}", made.secret.id, made.revision))
    })
    .await;
    at_once(async |site, app| {
        // With the etag of before, which the change of the first replica makes wrong.
        let rotation =
            SecretRotation { etag: Some(site.etag.as_str().into()), ..SecretRotation::of(value("v")) };
        let made = app.secrets.rotate(&site.fixture.grant::<Rotate>("a"), rotation, Some(&request())).await?;
        Ok(format!("{} {} {:?}", made.secret.id, made.version, made.revision))
    })
    .await;
    at_once(async |site, app| {
        let rename = SecretUpdate { new_name: Some(site.fixture.grant("b")), ..SecretUpdate::default() };
        let made = app.secrets.update(&site.fixture.grant::<Write>("a"), rename, Some(&request())).await?;
        Ok(format!("{} {:?} {:?}", made.secret.id, made.secret.name, made.revision))
    })
    .await;
    at_once(async |site, app| {
        let deleted = app.secrets.delete(&site.fixture.grant::<Delete>("a"), None, Some(&request())).await?;
        Ok(format!("{} {:?} {:?}", deleted.id, deleted.deletion, deleted.revision))
    })
    .await;
    at_once(async |site, app| {
        let promotion = Promotion { number: 1, grace_period: None, claim: None, etag: None };
        let made =
            app.secrets.promote(&site.fixture.grant::<Rotate>("a"), &promotion, Some(&request())).await?;
        Ok(format!("{} {:?}", made.secret.version, made.revision))
    })
    .await;
    at_once(async |site, app| {
        let change = VersionChange { number: 1, etag: None };
        let made = app.secrets.disable_version(&site.fixture.grant("a"), &change, Some(&request())).await?;
        Ok(format!("{:?} {:?}", made.version.state, made.revision))
    })
    .await;
    at_once(async |site, app| {
        let change = VersionChange { number: 1, etag: None };
        let destroyed =
            app.secrets.destroy_version(&site.fixture.grant("a"), &change, Some(&request())).await?;
        Ok(format!("{:?} {} {:?}", destroyed.0.version.state, destroyed.1.statement, destroyed.0.revision))
    })
    .await;
    at_once(async |site, app| {
        let authorization = Authorization::new(site.fixture.root.clone());
        let home = Namespace::default_namespace();
        let grant = app.access.grant_namespace::<Delete>(&site.fixture.root, &home).unwrap();
        let secret =
            app.secrets.undelete(&authorization, &grant, site.deleted, None, Some(&request())).await?;
        Ok(format!("{} {:?} {:?}", secret.id, secret.name, secret.revision))
    })
    .await;
    at_once(async |site, app| {
        let scope = Scope::of_namespace(Namespace::default_namespace());
        let grant = app.access.grant_scope(&site.fixture.root, scope).unwrap();
        let new = NewBinding {
            principal: PrincipalName::parse("group:i:g").unwrap(),
            role: RoleName::of(BuiltInRole::Reader),
            effect: Effect::Allow,
            expires_at: None,
            description: Description::default(),
        };
        let (binding, revision) = app.access.create_binding(&grant, new, Some(&request())).await?;
        Ok(format!("{:?} {revision:?}", binding.id))
    })
    .await;
}

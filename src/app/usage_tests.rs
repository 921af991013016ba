//! Uses of secrets and API keys are noted in memory, merged in the store, and gone with what was used.

use super::fixture::{Fixture, named};
use super::{App, Error, VersionChange};
use crate::auth::{ApiKeyId, Delete, List};
use crate::domain::{Minute, Revision, SecretUsage, now};
use crate::store::Key;

fn minute(number: u32) -> Minute {
    Minute::from_number(number).unwrap()
}

async fn usage(fixture: &Fixture, app: &App, name: &str) -> SecretUsage {
    app.secrets.versions(&fixture.grant::<List>(name), Revision::default()).await.unwrap().usage
}

#[tokio::test]
async fn a_read_is_stored_once_and_found_after_a_restart() {
    let fixture = Fixture::open().await;
    fixture.create("a", "value").await.unwrap();
    fixture.create("unread", "value").await.unwrap();
    let before = Minute::of(now());
    fixture.value(&fixture.app, "a").await.unwrap();
    assert_eq!(usage(&fixture, &fixture.app, "a").await, SecretUsage::default());

    fixture.app.core.store_usage().await.unwrap();
    let stored = usage(&fixture, &fixture.app, "a").await;
    let version = stored.of_version(1).unwrap();
    assert_eq!(version.consumers.len(), 1);
    assert_eq!(*version.consumers[0].principal, *fixture.root.name().to_string());
    assert!((before..=Minute::of(now())).contains(&version.last_read.unwrap()));
    assert_eq!(fixture.secret("a").last_read, version.last_read);
    assert_eq!((fixture.secret("unread").last_read, fixture.stored(b'c').await.len()), (None, 1));

    // Nothing that the store has is stored again.
    let revision = fixture.store.durable();
    fixture.app.core.store_usage().await.unwrap();
    assert_eq!(fixture.store.durable(), revision);
    assert_eq!(usage(&fixture, &fixture.restart().await, "a").await, stored);
    assert!(fixture.restart().await.core.catalog.records() >= 2);
}

#[tokio::test]
async fn a_use_has_the_minute_of_the_clock_and_each_minute_is_stored_once() {
    let fixture = Fixture::open().await;
    fixture.create("a", "value").await.unwrap();
    let (id, credential) = fixture.create_api_key().await;
    let clock = fixture.app.core.clock.clone();
    for _ in 0..3 {
        clock.advance(std::time::Duration::from_secs(3600));
        let before = Minute::of(clock.now());
        fixture.value(&fixture.app, "a").await.unwrap();
        fixture.app.access.authenticate(&credential).unwrap();
        fixture.app.core.store_usage().await.unwrap();
        let read = usage(&fixture, &fixture.app, "a").await.of_version(1).unwrap().last_read.unwrap();
        let used = Minute::of(fixture.app.access.last_used(id).unwrap());
        let after = Minute::of(clock.now());
        for at in [read, used] {
            assert!((before..=after).contains(&at), "{at:?} is not within {before:?} and {after:?}");
        }
    }
}

#[tokio::test]
async fn two_replicas_complete_each_others_records() {
    let fixture = Fixture::open().await;
    let other = fixture.restart().await;
    fixture.create("a", "value").await.unwrap();
    let (id, namespace) = (fixture.secret("a").id, fixture.app.core.catalog.namespaces()[0].clone());
    other.core.catalog.at_least(fixture.store.durable()).await.unwrap();
    let note = |app: &App, principal: u8, at: u32| {
        let principal = crate::auth::PrincipalName::ApiKey(ApiKeyId([principal; 10]));
        app.core.usage.note_read_at(&namespace, id, 1, &principal, minute(at));
    };
    note(&fixture.app, 1, 7);
    note(&fixture.app, 2, 3);
    note(&other, 1, 5);
    note(&other, 3, 6);
    let (one, two) = tokio::join!(fixture.app.core.store_usage(), other.core.store_usage());
    one.and(two).unwrap();
    let found = usage(&fixture, &fixture.app, "a").await;
    let version = found.of_version(1).unwrap();
    let times: Vec<_> =
        version.consumers.iter().map(|consumer| consumer.last_read.unwrap().number()).collect();
    assert_eq!((version.last_read, times), (Some(minute(7)), vec![7, 6, 3]));
    other.core.catalog.at_least(fixture.store.durable()).await.unwrap();
    assert_eq!(usage(&fixture, &other, "a").await, found);
}

#[tokio::test]
async fn usage_goes_with_its_version_and_its_secret() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    fixture.rotate("a", "two").await;
    for version in [1, 2] {
        fixture.value_of(&fixture.app, "a", Some(version)).await.unwrap();
    }
    fixture.app.core.store_usage().await.unwrap();
    assert_eq!(usage(&fixture, &fixture.app, "a").await.versions.len(), 2);

    let change = VersionChange { number: 1, etag: None };
    fixture.app.secrets.destroy_version(&fixture.grant::<Delete>("a"), &change, None).await.unwrap();
    let left = usage(&fixture, &fixture.app, "a").await;
    assert!(left.of_version(1).is_none() && left.of_version(2).is_some());
    // The change did not take the last read away.
    assert_eq!(fixture.secret("a").last_read, left.last_read);

    fixture.value(&fixture.app, "a").await.unwrap();
    let id = fixture.secret("a").id;
    fixture.app.secrets.delete(&fixture.grant::<Delete>("a"), None, None).await.unwrap();
    assert!(fixture.stored(b'c').await.is_empty());
    // A note that comes later makes no record for a secret that is gone.
    let namespace = fixture.app.core.catalog.namespaces()[0].clone();
    fixture.app.core.usage.note_read(&namespace, id, 2, fixture.root.name());
    fixture.app.core.store_usage().await.unwrap();
    assert!(fixture.stored(b'c').await.is_empty());
}

#[tokio::test]
async fn the_last_use_of_a_key_is_stored_and_survives_a_rekey_and_a_restart() {
    let fixture = Fixture::open().await;
    fixture.create("a", "value").await.unwrap();
    let (id, credential) = fixture.create_api_key().await;
    assert!(fixture.app.access.authenticate("srk_aaaaaaaaaaaaaaaa_wrong").is_err());
    fixture.app.core.store_usage().await.unwrap();
    assert_eq!(fixture.app.access.last_used(id), None);
    fixture.app.access.authenticate(&credential).unwrap();
    fixture.value(&fixture.app, "a").await.unwrap();
    fixture.app.core.store_usage().await.unwrap();
    let used = fixture.app.access.last_used(id);
    assert!(used.is_some_and(|used| used <= now()));

    let before = (fixture.stored_at(&Key::key_usage(&id.0)).await, usage(&fixture, &fixture.app, "a").await);
    let rekeyed = fixture.rekey().rekey_master_key(|_| {}).await.unwrap();
    assert_eq!(rekeyed.damaged, 0);
    assert_ne!(fixture.stored_at(&Key::key_usage(&id.0)).await, before.0);
    assert_eq!(usage(&fixture, &fixture.app, "a").await, before.1);
    assert_eq!(fixture.app.access.last_used(id), used);
}

#[tokio::test]
async fn the_last_use_of_a_binding_is_stored_and_goes_with_the_binding() {
    let fixture = Fixture::open().await;
    let (_, credential) = fixture.create_api_key().await;
    let caller = fixture.app.access.authenticate(&credential).unwrap();
    let bindings = || {
        fixture.app.core.catalog.with_policy(|policy| {
            policy.bindings_of(caller.name()).map(|binding| binding.id).collect::<Vec<_>>()
        })
    };
    let id = bindings()[0];
    fixture.app.core.store_usage().await.unwrap();
    assert_eq!(fixture.app.access.binding_last_used(id), None);

    // To be told why is no use.
    let question = |name: &str| (caller.home().clone(), named(name));
    let (namespace, name) = question("a");
    assert!(fixture.app.access.grant::<crate::auth::Read>(&caller, &namespace, &name).is_ok());
    fixture.app.core.store_usage().await.unwrap();
    let used = fixture.app.access.binding_last_used(id);
    assert!(used.is_some_and(|used| used <= now()));
    assert_eq!(fixture.stored(b'g').await.len(), 2, "the root key's too");

    let rekeyed = fixture.rekey().rekey_master_key(|_| {}).await.unwrap();
    assert_eq!(rekeyed.damaged, 0);
    let app = fixture.restart().await;
    assert_eq!(app.access.binding_last_used(id), used);
    let manager = fixture.app.access.grant_somewhere(&fixture.root).unwrap();
    fixture.app.access.delete_binding(&manager, id).await.unwrap();
    assert_eq!(fixture.app.access.binding_last_used(id), None);
    assert_eq!((bindings().len(), fixture.stored(b'g').await.len()), (0, 1));
}

#[tokio::test]
async fn a_record_that_was_altered_says_nothing_and_is_replaced() {
    let fixture = Fixture::open().await;
    fixture.create("a", "value").await.unwrap();
    let place = Key::secret_usage(fixture.app.core.catalog.namespaces()[0].id(), fixture.secret("a").id);
    fixture.overwrite(&place, vec![2; 80]).await;
    assert_eq!(usage(&fixture, &fixture.app, "a").await, SecretUsage::default());
    // The store is served all the same, also after a restart.
    let app = fixture.restart().await;
    assert_eq!(fixture.value(&app, "a").await.unwrap(), "value");
    app.core.store_usage().await.unwrap();
    assert_eq!(usage(&fixture, &app, "a").await.versions.len(), 1);
}

#[tokio::test]
async fn the_notes_have_a_bound_and_those_beyond_it_are_dropped() {
    let fixture = Fixture::open().await;
    for number in 0..70_000_u32 {
        let mut id = [0; 10];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id[9] = number.to_le_bytes()[0];
        fixture.app.core.usage.note_key(ApiKeyId(id));
    }
    fixture.app.much_used().await; // there was a call to store them
    assert!(fixture.app.core.usage.len() <= 16 * 4096);
    fixture.app.core.store_usage().await.unwrap(); // none of these keys exists
    assert_eq!(fixture.stored(b't').await.len(), 1, "the root key's alone");
}

#[tokio::test]
async fn a_refused_read_is_no_use() {
    let fixture = Fixture::open().await;
    fixture.create("a", "value").await.unwrap();
    let change = VersionChange { number: 1, etag: None };
    let grant = fixture.grant::<crate::auth::Write>("a");
    fixture.app.secrets.disable_version(&grant, &change, None).await.unwrap();
    let refused = fixture.value(&fixture.app, "a").await;
    assert!(matches!(refused, Err(Error::VersionDisabled(_, name, 1)) if name == named("a")));
    fixture.app.core.store_usage().await.unwrap();
    assert!(fixture.stored(b'c').await.is_empty());
}

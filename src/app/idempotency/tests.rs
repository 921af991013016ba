//! Idempotency records that expire, and damaged ones.

use std::sync::Arc;

use crate::app::fixture::{Fixture, named, options, request};
use crate::app::{
    App, Error, Expiry, Idempotency, NewSecret, Options, SecretUpdate, ValueSource, VersionChange,
};
use crate::auth::{Delete, Principal, Write};
use crate::config::Limits;
use crate::crypto::MasterKeys;
use crate::domain::{Description, Metadata, RequestId, Timestamp, Value, VersionState, now};
use crate::schema::{IdempotencyRecord, encode_secret};
use crate::store::{self, Key, Transaction};
use prost::Message;
use zeroize::Zeroizing;

use super::{KnownRequest, Outcome};

/// A request with this request id.
fn numbered(number: u128) -> Idempotency {
    let id = RequestId::parse(&uuid::Uuid::from_u128(number).to_string()).unwrap().unwrap();
    Idempotency { id, body: Zeroizing::new(b"body".to_vec()) }
}

fn described(text: &str) -> SecretUpdate {
    SecretUpdate { description: Some(Description::parse(text).unwrap()), ..SecretUpdate::default() }
}

#[tokio::test]
async fn records_are_removed_when_they_expire_and_not_before() {
    let fixture = Fixture::open().await;
    let delete =
        async |app: &App| app.secrets.delete(&fixture.grant::<Delete>("a"), None, Some(&request())).await;
    let made = fixture.create("a", "a").await.unwrap();
    delete(&fixture.app).await.unwrap();
    assert_eq!(fixture.app.idempotency.remove_expired().await.unwrap(), 0);
    assert_eq!(delete(&fixture.app).await.unwrap().id, made.id);
    assert_eq!(fixture.stored(b'r').await.len(), 1);
    // A record that cannot be opened stays for 24 hours after that was noticed.
    let (key, entry) = fixture.stored(b'r').await.remove(0);
    let mut altered = entry.value.clone();
    *altered.last_mut().unwrap() ^= 1;
    fixture.overwrite(&key, altered).await;
    let app = fixture.restart().await;
    assert_eq!(app.idempotency.remove_expired().await.unwrap(), 0);
    assert!(matches!(delete(&app).await.err(), Some(Error::Integrity)));
    let since = Timestamp::from_micros(now().as_micros() - 24 * 60 * 60 * 1_000_000);
    app.idempotency.damaged.lock().unwrap().values_mut().for_each(|known| *known = since);
    assert_eq!(app.idempotency.remove_expired().await.unwrap(), 1);
    assert!(fixture.stored(b'r').await.is_empty());
}

#[tokio::test]
async fn the_record_of_a_large_secret_is_small() {
    let fixture = Fixture::open().await;
    let pair = |n: usize| (format!("{n:0>128}"), "m".repeat(512));
    let new = NewSecret {
        source: ValueSource::Value(Value::text("v".to_owned()).unwrap()),
        description: Description::parse(&"d".repeat(1024)).unwrap(),
        metadata: Metadata::parse((0..64).map(pair).collect()).unwrap(),
        expiry: None,
        rotation_policy: None,
    };
    let name = named(&"n".repeat(128));
    let (secrets, grant) = (&fixture.app.secrets, fixture.grant::<Write>(name.as_str()));
    let delete = fixture.grant::<Delete>(name.as_str());
    secrets.create(&grant, new, Some(&numbered(0))).await.unwrap();
    for n in 1..120 {
        fixture.rotate(name.as_str(), &n.to_string()).await;
    }
    assert_eq!(fixture.secret(name.as_str()).versions.iter().count(), 100);
    secrets.update(&grant, described("another"), Some(&numbered(1))).await.unwrap();
    let change = VersionChange { number: 50, etag: None };
    secrets.disable_version(&grant, &change, Some(&numbered(2))).await.unwrap();
    secrets.destroy_version(&delete, &change, Some(&numbered(3))).await.unwrap();
    secrets.delete(&delete, None, Some(&numbered(4))).await.unwrap();
    let records = fixture.stored(b'r').await;
    assert_eq!(records.len(), 5);
    for (_, entry) in records {
        assert!(entry.value.len() < 400, "{}", entry.value.len());
    }
}

#[tokio::test]
async fn a_request_that_changes_nothing_leaves_no_record_and_runs_again() {
    let fixture = Fixture::open().await;
    fixture.create("a", "a").await.unwrap();
    let (secrets, grant) = (&fixture.app.secrets, fixture.grant::<Write>("a"));
    let change = VersionChange { number: 1, etag: None };
    let before = fixture.app.revision();
    for n in 0..10 {
        secrets.enable_version(&grant, &change, Some(&numbered(n))).await.unwrap();
    }
    assert!(fixture.stored(b'r').await.is_empty());
    assert_eq!(fixture.app.revision(), before);
    // What was changed since is changed back: nothing says that the request came before.
    secrets.disable_version(&grant, &change, Some(&numbered(100))).await.unwrap();
    let enabled = secrets.enable_version(&grant, &change, Some(&numbered(0))).await.unwrap();
    assert_eq!(enabled.version.state, VersionState::Enabled);
    assert_eq!(fixture.stored(b'r').await.len(), 2);
    // From now on, it is known.
    secrets.disable_version(&grant, &change, None).await.unwrap();
    let again = secrets.enable_version(&grant, &change, Some(&numbered(0))).await.unwrap();
    assert_eq!((again.revision, again.version.state), (enabled.revision, VersionState::Enabled));
    assert_eq!(fixture.secret("a").versions.find(1).unwrap().state, VersionState::Disabled);
}

#[tokio::test]
async fn a_repeat_has_the_outcome_as_it_was_and_the_description_as_it_is() {
    let fixture = Fixture::open().await;
    let made = fixture.create("a", "a").await.unwrap();
    let (secrets, grant) = (&fixture.app.secrets, fixture.grant::<Write>("a"));
    let update = async |app: &App| app.secrets.update(&grant, described("first"), Some(&request())).await;
    let first = update(&fixture.app).await.unwrap().secret;
    assert_eq!(update(&fixture.app).await.unwrap().secret, first);
    secrets.update(&grant, described("second"), None).await.unwrap();
    assert_eq!(update(&fixture.app).await.unwrap().secret.description.as_str(), "second");
    let rename = SecretUpdate { new_name: Some(fixture.grant("b")), ..described("third") };
    secrets.update(&grant, rename, None).await.unwrap();
    fixture.rotate("b", "b").await;
    fixture.rekey().rekey_master_key(|_| {}).await.unwrap();
    for app in [&*fixture.app, &fixture.restart().await] {
        let again = update(app).await.unwrap().secret;
        let told = (again.id, again.name.as_str(), again.version, again.revision, again.updated_at);
        assert_eq!(told, (made.id, "a", 1, first.revision, first.updated_at));
        assert_eq!(again.description.as_str(), "", "the caller may not know the secret under its other name");
    }
    secrets.delete(&fixture.grant("b"), None, None).await.unwrap();
    let again = update(&fixture.app).await.unwrap().secret;
    assert_eq!((again.etag(), again.description.as_str()), (first.etag(), ""));
}

#[tokio::test]
async fn a_record_of_an_earlier_release_is_answered_as_it_was_written() {
    let fixture = Fixture::open().await;
    let made = fixture.create("a", "a").await.unwrap();
    let keyring = fixture.app.core.keyring();
    let mac = keyring.request_mac(&[b"id", &fixture.root.api_key_id().0, request().id.as_bytes()]);
    for unchanged_since in [None, Some(made.revision.0)] {
        let record = IdempotencyRecord {
            body: keyring.request_mac(&[b"body", b"body"]).to_vec(),
            at: now().as_micros(),
            secret_id: made.id.as_bytes().to_vec(),
            secret: encode_secret(&made),
            unchanged_since,
            ..IdempotencyRecord::default()
        };
        let sealed = keyring.seal(crate::crypto::Purpose::IdempotencyRecord, &mac, &record.encode_to_vec());
        let put = vec![(Key::idempotency_record(&mac), sealed.unwrap())];
        let put = Transaction { put, ..Transaction::default() };
        let at = fixture.app.core.commit(&keyring, put).await.unwrap().unwrap();
        let known = fixture.app.idempotency.find(&fixture.root, &made.namespace, &request()).await.unwrap();
        let KnownRequest::Answered(outcome, revision) = known else { panic!("the request is known") };
        assert_eq!(revision, at);
        let secret = match outcome {
            Outcome::Changed(secret, 1) if unchanged_since.is_none() => secret,
            Outcome::Unchanged(secret) if unchanged_since.is_some() => secret,
            _ => panic!("another outcome"),
        };
        assert_eq!((secret.id, secret.versions.clone()), (made.id, made.versions.clone()));
    }
}

#[tokio::test]
async fn a_key_has_a_limit_of_records_until_they_expire() {
    let masters = Arc::new(MasterKeys::generate().unwrap());
    let options =
        Options { limits: Limits { idempotency_records_per_principal: 3, ..Limits::default() }, ..options() };
    let fixture = Fixture::with_options(store::open_memory().unwrap(), masters, options.clone()).await;
    fixture.create("a", "a").await.unwrap();
    let [one, other] = [fixture.caller(Expiry::Never).await, fixture.caller(Expiry::Never).await];
    let update = async |app: &App, caller: &Principal, number: u128| {
        let request = numbered(number);
        app.secrets
            .update(&fixture.grant_to::<Write>(caller, "a"), described(&number.to_string()), Some(&request))
            .await
    };
    for n in 0..3 {
        update(&fixture.app, &one, n).await.unwrap();
    }
    let reopened = crate::app::fixture::reopen_with(&fixture.store, &fixture.master, options).await.unwrap();
    reopened.idempotency.remove_expired().await.unwrap();
    for app in [&*fixture.app, &reopened] {
        let refused = update(app, &one, 3).await;
        assert!(matches!(refused.err(), Some(Error::TooManyRequestIds(3))));
        // A repeat is answered, a request without a request id is made, and so are those of another key.
        update(app, &one, 0).await.unwrap();
        app.secrets.update(&fixture.grant_to::<Write>(&one, "a"), described("d"), None).await.unwrap();
        update(app, &other, 3).await.unwrap();
    }
}

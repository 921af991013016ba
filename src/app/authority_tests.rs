//! Callers whose keys are revoked or expire while they wait.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ED25519, PublicKeyData,
    SigningKey,
};

use super::authority::Authority;
use super::backup::RestoreOptions;
use super::fixture::{Fixture, options};
use super::{CredentialProblem, Error, Expiry, SecretRotation, ValueSource};
use super::{CredentialSources, IssuerKeys, NoPrincipal, Options, Presented};
use crate::auth::{CertificateProblem, ClientAuthorities, KeySet, TokenProblem};
use crate::auth::{Operate, Principal, Read, Rotate};
use crate::config::{Config, Settings};
use crate::crypto::MasterKeys;
use crate::domain::{Revision, Value, now};
use crate::store::{self, Expect, Key, Transaction};

/// A transaction that puts a record at a new place.
fn put() -> Transaction {
    let key = Key::idempotency_record(&[7; 32]);
    Transaction {
        require: vec![(key.clone(), Expect::Absent)],
        put: vec![(key, b"record".to_vec())],
        ..Transaction::default()
    }
}

fn is_refused<T>(outcome: Result<T, Error>, why: CredentialProblem) -> bool {
    matches!(outcome, Err(Error::Unauthenticated(problem)) if problem == why)
}

/// Polls once, which must not be enough.
fn begin<F: Future>(future: std::pin::Pin<&mut F>) {
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending));
}

#[tokio::test]
async fn a_commit_requires_the_credential_as_it_was() {
    let fixture = Fixture::open().await;
    let core = &fixture.app.core;
    let caller = fixture.caller(Expiry::Never).await;
    let mut attempts = core.attempts(3, Authority::Caller(&caller, &[]));
    let planned = attempts.next().unwrap();
    fixture.revoke_api_key(caller.api_key_id()).await;
    assert_eq!(planned.commit(put()).await.unwrap(), None);
    assert!(is_refused(attempts.next(), CredentialProblem::Invalid));
    assert!(fixture.stored(b'r').await.is_empty());
    // What the service does by itself needs no caller.
    let by_itself = core.attempts(1, Authority::Service).next().unwrap();
    assert!(by_itself.commit(put()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_rekey_between_plan_and_commit_refuses_no_caller() {
    let fixture = Fixture::open().await;
    let core = &fixture.app.core;
    let caller = fixture.caller(Expiry::Never).await;
    let mut attempts = core.attempts(3, Authority::Caller(&caller, &[]));
    let planned = attempts.next().unwrap();
    // The record of the key alone is sealed again, as a rekey does it.
    let (keyring, id) = (core.keyring(), caller.api_key_id());
    let key = core.catalog.api_key(id).unwrap();
    let resealed = (Key::api_key(&id.0), key.seal(&keyring).unwrap());
    let resealed = Transaction { put: vec![resealed], ..Transaction::default() };
    core.commit(&keyring, resealed).await.unwrap().unwrap();
    assert_eq!(planned.commit(put()).await.unwrap(), None, "the record has another revision");
    let planned = attempts.next().unwrap();
    assert!(planned.commit(put()).await.unwrap().is_some());
    fixture.rekey().rekey_master_key(|_| {}).await.unwrap();
    assert!(core.confirm(&caller, &[]).is_ok());
}

#[tokio::test]
async fn a_commit_that_begins_after_the_key_has_expired_is_refused_as_expired() {
    let fixture = Fixture::open().await;
    let core = &fixture.app.core;
    let caller = fixture.caller(Expiry::After(Duration::from_secs(1))).await;
    let mut attempts = core.attempts(2, Authority::Caller(&caller, &[]));
    let planned = attempts.next().unwrap();
    assert!(is_refused::<()>(
        Err(core.ended(&Fixture::authorization(&caller)).await),
        CredentialProblem::Expired
    ));
    assert!(is_refused(planned.commit(put()).await, CredentialProblem::Expired));
    assert!(is_refused(attempts.next(), CredentialProblem::Expired));
    assert!(fixture.stored(b'r').await.is_empty());
}

#[tokio::test]
async fn a_wait_ends_when_the_key_is_revoked_and_not_when_it_is_sealed_again() {
    let fixture = Fixture::open().await;
    let caller = fixture.caller(Expiry::Never).await;
    let authorization = Fixture::authorization(&caller);
    let mut ended = std::pin::pin!(fixture.app.access.ended(&authorization));
    begin(ended.as_mut());
    fixture.rekey().rekey_master_key(|_| {}).await.unwrap();
    fixture.create_api_key().await;
    begin(ended.as_mut());
    fixture.revoke_api_key(caller.api_key_id()).await;
    assert!(is_refused::<()>(Err(ended.await), CredentialProblem::Invalid));
}

#[tokio::test]
async fn a_read_that_has_waited_opens_no_value_for_a_revoked_key() {
    let fixture = Fixture::open().await;
    fixture.create("a", "old").await.unwrap();
    let caller = fixture.caller(Expiry::Never).await;
    let grant = fixture.grant_to::<Read>(&caller, "a");
    let ahead = Revision(fixture.app.revision().0 + 2);
    let mut parked = std::pin::pin!(fixture.app.secrets.get(&grant, None, ahead));
    begin(parked.as_mut());
    fixture.revoke_api_key(caller.api_key_id()).await;
    fixture.rotate("a", "new").await;
    assert!(is_refused(parked.await, CredentialProblem::Invalid));
}

#[tokio::test]
async fn a_change_that_waits_for_another_one_is_not_made_for_a_revoked_key() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    let caller = fixture.caller(Expiry::Never).await;
    let rotation =
        |value: &str| SecretRotation::of(ValueSource::Value(Value::text(value.to_owned()).unwrap()));
    let secrets = &fixture.app.secrets;
    let grant_of = |caller: &Principal| fixture.grant_to::<Rotate>(caller, "a");
    let (first, second) = (grant_of(&fixture.root), grant_of(&caller));
    // The first change holds the lock of the secret while it is not polled.
    let mut holds = std::pin::pin!(secrets.rotate(&first, rotation("two"), None));
    begin(holds.as_mut());
    let mut waits = std::pin::pin!(secrets.rotate(&second, rotation("three"), None));
    begin(waits.as_mut());
    fixture.revoke_api_key(caller.api_key_id()).await;
    holds.await.unwrap();
    assert!(is_refused(waits.await, CredentialProblem::Invalid));
    assert_eq!(fixture.value(&fixture.app, "a").await.unwrap(), "two");
}

#[tokio::test]
async fn a_restore_replaces_nothing_for_a_key_that_has_ended() {
    let fixture = Fixture::open().await;
    fixture.create("a", "old").await.unwrap();
    let (bytes, _) = fixture.back_up().await;
    fixture.rotate("a", "new").await;
    let restore = fixture.app.backup.restore(&fixture.service_grant::<Operate>()).unwrap();
    assert!(restore.take(bytes).await);
    // The service never revokes the root key, so somebody else removes it.
    fixture.remove(&Key::api_key(&fixture.root.api_key_id().0)).await;
    let refused = restore.finish(RestoreOptions::default(), |_| {}).await;
    assert!(is_refused(refused, CredentialProblem::Invalid));
    assert_eq!(fixture.secret("a").version, 2);
}

/// The sources of credentials with an issuer whose key this is, and a client authority.
fn sources(key: &KeyPair, authority: &str) -> Arc<CredentialSources> {
    let toml = "[[issuers]]\nname = 'i'\nissuer = 'i'\naudiences = ['a']\njwks_file = 'k'";
    let config = Config::try_from(toml::from_str::<Settings>(toml).unwrap()).unwrap();
    let sources = CredentialSources::new(vec![IssuerKeys::new(&config.issuers[0]).unwrap()]);
    sources.issuers()[0].read(key_set(key));
    sources.replace_authorities(ClientAuthorities::parse(authority.as_bytes(), now()).unwrap());
    Arc::new(sources)
}

fn key_set(key: &KeyPair) -> KeySet {
    let x = BASE64URL_NOPAD.encode(key.der_bytes());
    KeySet::parse(format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#).as_bytes()).unwrap()
}

/// A token that ends, with the minute for the clocks, in so many seconds.
fn token(key: &KeyPair, seconds: i64) -> String {
    let end = now().as_micros() / 1_000_000 - 60 + seconds;
    let claims = format!(r#"{{"iss":"i","aud":"a","sub":"s","exp":{end}}}"#);
    let part = |json: &str| BASE64URL_NOPAD.encode(json.as_bytes());
    let signed = format!("{}.{}", part(r#"{"alg":"EdDSA"}"#), part(&claims));
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()).unwrap()))
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn work_of_a_token_ends_when_the_token_expires_or_its_key_is_withdrawn() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let sources = sources(&key, &authority().pem());
    let options = Options { sources: sources.clone(), ..options() };
    let (store, master) = (store::open_memory().unwrap(), Arc::new(MasterKeys::generate().unwrap()));
    let fixture = Fixture::with_options(store, master, options).await;
    let access = &fixture.app.access;
    let caller = |seconds| match access.identify(Presented::Bearer(&token(&key, seconds)), true) {
        Ok(caller) => caller,
        Err(_) => panic!("the token is in force"),
    };
    let (short, long) = (caller(3), caller(600));
    assert_eq!((short.to_string(), short.name()), ("jwt:i:s".to_owned(), long.name()));
    let planned = fixture.app.core.attempts(2, Authority::Caller(&short, &[])).next().unwrap();
    let expired = |error| is_refused::<()>(Err(error), CredentialProblem::Token(TokenProblem::Expired));
    assert!(expired(access.ended(&Fixture::authorization(&short)).await));
    assert!(is_refused(planned.commit(put()).await, CredentialProblem::Expired));

    let long = Fixture::authorization(&long);
    let mut ended = std::pin::pin!(access.ended(&long));
    begin(ended.as_mut());
    sources.issuers()[0].read(key_set(&KeyPair::generate_for(&PKCS_ED25519).unwrap()));
    let withdrawn = CredentialProblem::Token(TokenProblem::UnknownKey);
    assert!(is_refused::<()>(Err(ended.await), withdrawn));
    assert!(is_refused(access.confirm(&long), withdrawn));
}

#[tokio::test]
async fn work_of_a_certificate_ends_when_its_authority_is_removed() {
    let (key, authority) = (KeyPair::generate_for(&PKCS_ED25519).unwrap(), authority());
    let sources = sources(&key, &authority.pem());
    let options = Options { sources: sources.clone(), ..options() };
    let (store, master) = (store::open_memory().unwrap(), Arc::new(MasterKeys::generate().unwrap()));
    let fixture = Fixture::with_options(store, master, options).await;
    let params = CertificateParams::new(["a.example.org".to_owned()]).unwrap();
    let certificate = params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
    let certificate = Arc::new(sources.certificate(&[certificate.der().clone()]).ok().unwrap());
    let access = &fixture.app.access;
    let caller = access.identify(Presented::Certificate(&certificate), true).ok().unwrap();
    let mut attempts = fixture.app.core.attempts(3, Authority::Caller(&caller, &[]));
    assert!(attempts.next().unwrap().commit(put()).await.unwrap().is_some());

    let authorization = Fixture::authorization(&caller);
    let mut ended = std::pin::pin!(access.ended(&authorization));
    begin(ended.as_mut());
    sources.replace_authorities(ClientAuthorities::default());
    let removed = CredentialProblem::Certificate(CertificateProblem::Untrusted);
    assert!(is_refused::<()>(Err(ended.await), removed));
    assert!(is_refused(attempts.next(), removed));
    let refused = access.identify(Presented::Certificate(&certificate), true).err().unwrap();
    let NoPrincipal::Refused(refused) = refused else { panic!("it is refused") };
    assert_eq!(refused.principal.unwrap().to_string(), "cert:a.example.org");
}

//! The keys of issuers: where they come from, and what happens while they cannot be had.

use serde_json::json;
use tonic::Code;

use super::issuer::TestIssuer;
use super::signer::{Signer, key_set};
use super::{Site, claims, launch, who};
use crate::caller::{Caller, Credential};
use crate::harness::Server;
use crate::refusal::refused;

const FETCHED: &str = "the keys of the issuer were fetched";
const NOT_FETCHED: &str = "could not be fetched";

struct Remote {
    issuer: TestIssuer,
    server: Server,
    caller: Caller,
    _folder: tempfile::TempDir,
}

impl Remote {
    async fn open(keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = TestIssuer::start(folder.path(), keys);
        let server =
            launch(folder.path(), &issuer.settings()).argument("--log-level").argument("debug").start();
        let caller = Caller::new(&server, Credential::default()).await;
        Self { issuer, server, caller, _folder: folder }
    }

    fn caller(&self, signer: &Signer) -> Caller {
        self.caller.with(Credential::bearer(&signer.token(&claims())))
    }
}

#[tokio::test]
async fn keys_are_fetched_over_https_before_the_first_token_needs_them() {
    let signer = Signer::rsa("one");
    let remote = Remote::open(&key_set(&[&signer])).await;
    // A token that comes before the end of the first fetch waits for it.
    assert_eq!(who(&remote.caller(&signer)).await.unwrap().into_inner().principal, "jwt:ci:builder");
    assert_eq!(remote.issuer.requests(), 1);
}

#[tokio::test]
async fn a_flood_of_tokens_with_unknown_keys_causes_no_flood_of_fetches() {
    let signer = Signer::p256("one");
    let remote = Remote::open(&key_set(&[&signer])).await;
    remote.server.wait_for_logged(1, FETCHED);
    let flood: Vec<_> = (0..200)
        .map(|n| {
            let caller = remote.caller(&Signer::ed25519(&format!("unknown-{n}")));
            tokio::spawn(async move { who(&caller).await })
        })
        .collect();
    for caller in flood {
        let status = refused(caller.await.unwrap(), Code::Unauthenticated, "CREDENTIAL_INVALID");
        assert!(status.message().contains("no key with the id"), "{status:?}");
    }
    assert_eq!(remote.issuer.requests(), 1, "the first fetch was less than 30 s ago");
    who(&remote.caller(&signer)).await.unwrap();
}

#[tokio::test]
async fn a_new_key_is_known_after_a_reload_and_a_withdrawn_one_is_not() {
    let (old, new) = (Signer::p256("old"), Signer::p256("new"));
    let remote = Remote::open(&key_set(&[&old])).await;
    let (old_caller, new_caller) = (remote.caller(&old), remote.caller(&new));
    who(&old_caller).await.unwrap();
    remote.server.wait_for_logged(1, FETCHED);
    refused(who(&new_caller).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    remote.issuer.publish(&key_set(&[&new]));
    remote.server.reload();
    remote.server.wait_for_logged(2, FETCHED);
    who(&new_caller).await.unwrap();
    let status = refused(who(&old_caller).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    assert!(status.message().contains("no key with the id"), "{status:?}");
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_an_outage_and_no_wrong_credential() {
    let signer = Signer::p256("one");
    let remote = Remote::open("no key set").await;
    let caller = remote.caller(&signer);
    remote.server.wait_for_logged(1, NOT_FETCHED);
    let status = refused(who(&caller).await, Code::Unavailable, "ISSUER_UNAVAILABLE");
    assert!(tonic_types::StatusExt::get_details_retry_info(&status).is_some(), "{status:?}");
    // API keys go on.
    who(&remote.caller.with(Credential::bearer(&remote.server.root_key))).await.unwrap();

    remote.issuer.publish(&key_set(&[&signer]));
    remote.server.reload();
    remote.server.wait_for_logged(1, FETCHED);
    who(&caller).await.unwrap();

    // The last keys stay in use.
    let mut failures = 1;
    let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(256 * 1024));
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{large}", large.len()),
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{large}"),
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}".to_owned(),
        "nonsense".to_owned(),
    ] {
        remote.issuer.answer(answer);
        remote.server.reload();
        failures += 1;
        remote.server.wait_for_logged(failures, NOT_FETCHED);
        who(&caller).await.unwrap();
        let unknown = remote.caller(&Signer::p256("unknown"));
        refused(who(&unknown).await, Code::Unavailable, "ISSUER_UNAVAILABLE");
    }
}

#[tokio::test]
async fn an_issuer_whose_certificate_is_not_trusted_is_not_heard() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::p256("one");
    let issuer = TestIssuer::start(folder.path(), &key_set(&[&signer]));
    // Without `jwks_ca`, the authorities of the system count.
    let server = launch(folder.path(), &format!("jwks_url = '{}'", issuer.url)).start();
    server.wait_for_logged(1, NOT_FETCHED);
    assert_eq!(issuer.requests(), 0);
}

#[tokio::test]
async fn a_key_for_something_else_verifies_no_token() {
    let signer = Signer::rsa("one");
    let site = Site::open(Signer::ed25519("other")).await;
    let file = site.folder.path().join("keys.json");
    for (parameter, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("alg", json!("RS512")),
        ("alg", json!("RSA-OAEP")),
    ] {
        let mut jwk = signer.jwk();
        jwk[parameter] = value;
        let keys = json!({"keys": [site.signer.jwk(), jwk, {"kty": "oct", "k": "AAAA", "kid": "one"}, {"kty": "new"}]});
        std::fs::write(&file, keys.to_string()).unwrap();
        site.server.reload();
        refused(site.who(&signer.token(&claims())).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
        site.who(&site.signer.token(&claims())).await.unwrap();
    }
}

#[tokio::test]
async fn settings_and_files_that_cannot_be_used_are_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let settings = format!("jwks_file = '{}'", file.display());
    let said = launch(folder.path(), &settings).refused().all();
    assert!(said.contains("keys.json"), "{said}");
    for content in ["", "{}", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#] {
        std::fs::write(&file, content).unwrap();
        let said = launch(folder.path(), &settings).refused().all();
        assert!(said.contains("keys.json") && said.contains("key"), "{said}");
    }
    std::fs::write(&file, key_set(&[&Signer::p256("one")])).unwrap();
    let said = launch(folder.path(), &format!("{settings}\nhome_namespace = 'No'")).refused().all();
    assert!(said.contains("'ci'") && said.contains("home_namespace"), "{said}");
    let said = launch(folder.path(), "jwks_url = 'http://127.0.0.1/keys'").refused();
    assert!(said.code == Some(2) && said.all().contains("https://"), "{}", said.all());
}

//! SIGHUP: certificates, authorities of clients and keys of issuers are read again while the server runs.

use std::fs;

use tonic::Code;

use super::authority::{Authority, dns};
use super::certificates::Site as TlsSite;
use super::signer::{Signer, key_set};
use super::{Site, claims, who};
use crate::caller::Credential;
use crate::refusal::refused;

#[tokio::test]
async fn a_new_certificate_of_the_server_is_used_without_a_restart() {
    let mut site = TlsSite::open();
    let before = site.try_connect(None).await.unwrap().with(Credential::bearer(&site.server.root_key));
    let authority = Authority::new();
    let (certificate, key) = authority.sign(Authority::server());
    fs::write(site.folder.path().join("server.pem"), certificate).unwrap();
    fs::write(site.folder.path().join("server.key"), key).unwrap();
    assert!(!site.server.reload().contains("ERROR"));
    assert!(site.try_connect(None).await.is_err(), "the former certificate is still in use");
    site.authority = authority;
    site.try_connect(None).await.unwrap();
    who(&before).await.unwrap(); // its connection is still open
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing_and_is_named() {
    let site = TlsSite::open();
    let file = |name: &str| site.folder.path().join(name);
    let identity = site.clients.client(&[dns("a.example.org")]);
    let caller = site.connect(identity.clone()).await;
    let (_, other_key) = Authority::new().sign(Authority::server());
    for (name, content) in
        [("server.pem", "nonsense"), ("server.key", other_key.as_str()), ("clients.pem", "nonsense")]
    {
        let good = fs::read(file(name)).unwrap();
        fs::write(file(name), content).unwrap();
        let logged = site.server.reload();
        assert!(logged.contains(name), "{name}: {logged}");
        who(&caller).await.unwrap();
        who(&site.connect(identity.clone()).await).await.unwrap();
        fs::write(file(name), good).unwrap();
    }
    // One bad file does not hold up another.
    fs::write(file("server.pem"), "nonsense").unwrap();
    let clients = Authority::new();
    fs::write(file("clients.pem"), clients.pem()).unwrap();
    site.server.reload();
    who(&site.connect(clients.client(&[dns("b.example.org")])).await).await.unwrap();
}

#[tokio::test]
async fn an_authority_that_is_removed_vouches_for_no_open_connection() {
    let site = TlsSite::open();
    let caller = site.connect(site.clients.client(&[dns("a.example.org")])).await;
    who(&caller).await.unwrap();
    let (file, clients) = (site.folder.path().join("clients.pem"), Authority::new());
    fs::write(&file, clients.pem()).unwrap();
    site.server.reload();
    let status = refused(who(&caller).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    assert!(status.message().contains("authority"), "{status:?}");
    fs::write(&file, format!("{}{}", clients.pem(), site.clients.pem())).unwrap();
    site.server.reload();
    who(&caller).await.unwrap();
}

#[tokio::test]
async fn the_keys_of_an_issuer_in_a_file_are_read_again() {
    let site = Site::open(Signer::p256("old")).await;
    let (old, new) = (site.signer.token(&claims()), Signer::p256("new"));
    site.who(&old).await.unwrap();
    let file = site.folder.path().join("keys.json");
    fs::write(&file, "nonsense").unwrap();
    let logged = site.server.reload();
    assert!(logged.contains("keys.json"), "{logged}");
    site.who(&old).await.unwrap();
    fs::write(&file, key_set(&[&new])).unwrap();
    site.server.reload();
    site.who(&new.token(&claims())).await.unwrap();
    let status = refused(site.who(&old).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    assert!(status.message().contains("no key with the id"), "{status:?}");
}

#[tokio::test]
async fn a_reload_without_anything_to_read_is_harmless() {
    let server = crate::harness::Server::alone();
    assert!(!server.reload().contains("ERROR"));
    who(&crate::caller::Caller::root(&server).await).await.unwrap();
    server.stop().await;
}

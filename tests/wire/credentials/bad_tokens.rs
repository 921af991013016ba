//! Tokens that are not credentials. Each is refused with its reason, and the message says what is wrong.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use serde_json::{Value, json};
use tonic::Code;

use super::signer::{Signer, unsigned};
use super::{Site, claims, unix_time, with, without};
use crate::caller::{Caller, Credential};
use crate::refusal::refused;

/// Asserts that a token is refused with a message that says this.
async fn invalid(site: &Site, token: &str, says: &str) {
    let status = refused(site.who(token).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    assert!(status.message().contains(says), "{says}: {status:?}");
}

#[tokio::test]
async fn a_token_without_a_signature_of_its_issuer_is_refused() {
    let site = Site::open(Signer::rsa("one")).await;
    let signer = &site.signer;
    let good = signer.token(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();

    let none = unsigned(&json!({"alg": "none", "kid": "one"}), &claims());
    for token in [format!("{none}."), format!("{none}.{signature}"), none.clone()] {
        invalid(&site, &token, "not a JSON web token").await;
    }
    // The public key as the secret of an HMAC.
    for secret in [signer.public_bytes(), signer.jwk().to_string().into_bytes()] {
        let forged = unsigned(&json!({"alg": "HS256", "kid": "one"}), &claims());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), forged.as_bytes());
        let forged = format!("{forged}.{}", BASE64URL_NOPAD.encode(tag.as_ref()));
        invalid(&site, &forged, "algorithm").await;
    }
    let altered = unsigned(&signer.header(), &with("sub", "somebody-else"));
    invalid(&site, &format!("{altered}.{signature}"), "signature").await;
    invalid(&site, &format!("{signed}."), "signature").await;
    let other = Signer::p256("one");
    invalid(&site, &other.token(&claims()), "algorithm").await;
    let forged = other.token_with(&signer.header(), &claims());
    invalid(&site, &forged, "signature").await;
    site.who(&good).await.unwrap();
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_is_not_used_and_nothing_is_fetched() {
    let site = Site::open(Signer::p256("one")).await;
    let forger = Signer::p256("one");
    // Nobody may connect here.
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("https://{}/keys", trap.local_addr().unwrap());
    for (parameter, value) in
        [("jku", json!(url)), ("x5u", json!(url)), ("jwk", forger.jwk()), ("x5c", json!(["MIIB"]))]
    {
        let mut header = forger.header();
        header[parameter] = value;
        invalid(&site, &forger.token_with(&header, &claims()), "signature").await;
    }
    let unheard = trap.accept().unwrap_err();
    assert_eq!(unheard.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_token_whose_header_is_not_understood_is_refused() {
    let site = Site::open(Signer::p256("one")).await;
    let with_header = |parameter: &str, value: Value| {
        let mut header = site.signer.header();
        header[parameter] = value;
        site.signer.token_with(&header, &claims())
    };
    invalid(&site, &with_header("crit", json!(["exp"])), "not a JSON web token").await;
    invalid(&site, &with_header("b64", json!(false)), "not a JSON web token").await;
    invalid(&site, &with_header("kid", json!("two")), "no key with the id").await;
    invalid(&site, &with_header("kid", json!(7)), "not a JSON web token").await;
    // The only key of the issuer needs no id.
    let mut header = site.signer.header();
    header.as_object_mut().unwrap().remove("kid");
    site.who(&site.signer.token_with(&header, &claims())).await.unwrap();
}

#[tokio::test]
async fn a_token_with_other_claims_is_refused() {
    let site = Site::open(Signer::ed25519("one")).await;
    let now = unix_time();
    let long = "a".repeat(513);
    for (claims, says) in [
        (with("iss", "https://issuer.example.com/"), "issuer"),
        (with("iss", "https://evil.example.com"), "issuer"),
        (
            with("iss", json!(["https://issuer.example.com", "https://evil.example.com"])),
            "not a JSON web token",
        ),
        (without("iss"), "not a JSON web token"),
        (with("aud", "other"), "audience"),
        (with("aud", "strongroom2"), "audience"),
        (with("aud", json!([])), "audience"),
        (without("aud"), "audience"),
        (without("exp"), "'exp'"),
        (with("exp", "tomorrow"), "'exp'"),
        (with("exp", json!(1e30)), "'exp'"),
        (with("exp", -1), "'exp'"),
        (with("exp", now + 365 * 24 * 60 * 60), "for longer"),
        (with("iat", now - 48 * 60 * 60), "for longer"),
        (with("nbf", "tomorrow"), "has not come"),
        (without("sub"), "subject"),
        (with("sub", ""), "subject"),
        (with("sub", " a"), "subject"),
        (with("sub", "a\nb"), "subject"),
        (with("sub", 7), "subject"),
        (with("sub", long), "subject"),
    ] {
        invalid(&site, &site.signer.token(&claims), says).await;
    }
}

#[tokio::test]
async fn a_token_with_too_many_groups_is_refused_and_not_cut() {
    let site = Site::with(Signer::ed25519("one"), "groups_claim = 'groups'").await;
    let of = |count: u32| with("groups", (0..count).map(|n| format!("g{n}")).collect::<Vec<_>>());
    let reply = site.who(&site.signer.token(&of(200))).await.unwrap().into_inner();
    assert_eq!(reply.groups.len(), 200);
    for claims in [of(201), with("groups", json!([1])), with("groups", json!({"a": "b"}))] {
        invalid(&site, &site.signer.token(&claims), "groups").await;
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let site = Site::open(Signer::p256("one")).await;
    let good = site.signer.token(&claims());
    let large = site.signer.token(&with("text", "a".repeat(8 * 1024)));
    for token in
        ["eyJ", "eyJ..", "eyJhbGciOiJFUzI1NiJ9.e30.AA", &format!("{good}.a.b"), &format!("{good}="), &large]
    {
        invalid(&site, token, "not a JSON web token").await;
    }
    // A token is a bearer's credential only.
    let status = site.caller.with(Credential::header("x-api-key", &good));
    refused(super::who(&status).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn a_token_and_an_api_key_are_two_credentials() {
    let site = Site::open(Signer::p256("one")).await;
    let wire = crate::raw::Wire::to(&site.server).await;
    let both = wire.bearer(&site.signer.token(&claims())).also("x-api-key", &site.server.root_key);
    let status = both.call("/strongroom.v1.AccessService/WhoAmI", b"").await;
    let status = refused(status, Code::Unauthenticated, "CREDENTIAL_INVALID");
    assert!(status.message().contains("more than one"), "{status:?}");
}

#[tokio::test]
async fn without_an_issuer_no_token_is_a_credential() {
    let caller = Caller::root(crate::harness::shared()).await;
    let token = Signer::p256("one").token(&claims());
    let reply = super::who(&caller.with(Credential::bearer(&token))).await;
    refused(reply, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

//! Tokens that are credentials: each algorithm, and the shapes that common issuers give.

use serde_json::json;
use strongroom::api::v1::{CreateBindingRequest, CreateSecretRequest};
use tonic::Code;

use super::signer::Signer;
use super::{ISSUER, Site, claims, unix_time, with, without};
use crate::caller::Credential;
use crate::refusal::{denied, refused};
use crate::requests::{Value, create, get};

#[tokio::test]
async fn tokens_of_each_kind_of_key_are_credentials() {
    for signer in [Signer::rsa("one"), Signer::p256("one"), Signer::ed25519("one")] {
        let site = Site::open(signer).await;
        let token = site.signer.token(&claims());
        // The second time the token is known.
        for _ in 0..2 {
            let reply = site.who(&token).await.unwrap().into_inner();
            assert_eq!(reply.principal, "jwt:ci:builder");
            assert!(reply.api_key.is_none() && reply.rights.is_empty() && reply.groups.is_empty());
        }
        let caller = site.caller.with(Credential::bearer(&token));
        denied(caller.secrets().get_secret(get("A")).await);
    }
}

/// Asserts that the caller of this token reads a secret once this principal is a reader of the namespace, and not before.
async fn reads_once_bound(site: &Site, token: &str, principal: &str, namespace: &str) {
    let root = site.caller.with(Credential::bearer(&site.server.root_key));
    let secret = CreateSecretRequest { namespace: namespace.into(), ..create("A", "for the bound") };
    root.create_with(secret).await;
    let caller = site.caller.with(Credential::bearer(token));
    denied(caller.secrets().get_secret(get("A")).await);
    let request = CreateBindingRequest {
        principal: principal.into(),
        role: "reader".into(),
        namespace_pattern: namespace.into(),
        ..Default::default()
    };
    root.access().create_binding(request).await.unwrap();
    assert_eq!(caller.value("A").await, Value::text("for the bound"));
}

#[tokio::test]
async fn a_token_of_a_kubernetes_service_account_is_a_credential() {
    let site = Site::open(Signer::rsa("k1")).await;
    let now = unix_time();
    let claims = json!({
        "aud": ["strongroom"],
        "exp": now + 3607,
        "iat": now,
        "iss": ISSUER,
        "jti": "0f1ae7c7-9b6a-4a1f-8a52-7d2f8d3e1a11",
        "kubernetes.io": {
            "namespace": "web",
            "node": {"name": "node-1", "uid": "e2f9b4f7-5b0e-4d35-9d0c-0d9d8f1d8a01"},
            "pod": {"name": "api-5d9c", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
            "serviceaccount": {"name": "api", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
            "warnafter": now + 3600,
        },
        "nbf": now,
        "sub": "system:serviceaccount:web:api",
    });
    let header = json!({"alg": "RS256", "kid": "k1"});
    let token = site.signer.token_with(&header, &claims);
    let reply = site.who(&token).await.unwrap().into_inner();
    assert_eq!(reply.principal, "jwt:ci:system:serviceaccount:web:api");
    reads_once_bound(&site, &token, "jwt:ci:system:serviceaccount:web:api", "default").await;
}

#[tokio::test]
async fn an_id_token_of_openid_connect_is_a_credential_with_groups() {
    let settings = "subject_claim = 'email'\ngroups_claim = 'groups'\nhome_namespace = 'team'";
    let site = Site::with(Signer::rsa("k1"), settings).await;
    let mut claims = claims();
    for (claim, value) in [
        ("aud", json!("vault")),
        ("azp", json!("vault")),
        ("email", json!("ada@example.com")),
        ("email_verified", json!(true)),
        ("nonce", json!("n-0S6_WzA2Mj")),
        ("at_hash", json!("MTIzNDU2Nzg5MDEyMzQ1Ng")),
        ("groups", json!(["ops", "Domain Admins", " no binding can name this"])),
    ] {
        claims[claim] = value;
    }
    let reply = site.who(&site.signer.token(&claims)).await.unwrap().into_inner();
    assert_eq!(reply.principal, "jwt:ci:ada@example.com");
    assert_eq!(reply.groups, ["group:ci:ops", "group:ci:Domain Admins"]);
    // An empty namespace is the home namespace.
    let caller = site.caller.with(Credential::bearer(&site.signer.token(&claims)));
    let status = denied(caller.secrets().get_secret(get("A")).await);
    assert!(status.message().contains("'team'"), "{status:?}");
    // A binding of a group counts for its members.
    reads_once_bound(&site, &site.signer.token(&claims), "group:ci:ops", "team").await;
}

#[tokio::test]
async fn a_required_claim_keeps_other_jobs_of_a_ci_system_out() {
    let settings = "required_claims = { repository = 'org/app', ref = 'refs/heads/main' }";
    let site = Site::with(Signer::rsa("k1"), settings).await;
    let mut claims = with("sub", "repo:org/app:ref:refs/heads/main");
    claims["repository"] = json!("org/app");
    claims["ref"] = json!("refs/heads/main");
    let reply = site.who(&site.signer.token(&claims)).await.unwrap().into_inner();
    assert_eq!(reply.principal, "jwt:ci:repo:org/app:ref:refs/heads/main");
    for (claim, value) in [
        ("repository", json!("org/other")),
        ("ref", json!("refs/heads/main2")),
        ("ref", json!(["refs/heads/main"])),
    ] {
        let mut others = claims.clone();
        others[claim] = value;
        let reply = site.who(&site.signer.token(&others)).await;
        let status = refused(reply, Code::Unauthenticated, "CREDENTIAL_INVALID");
        assert!(status.message().contains("requires"), "{status:?}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let site = Site::open(Signer::p256("one")).await;
    let now = unix_time();
    for claims in [
        with("exp", now - 30),
        with("nbf", now + 30),
        with("iat", now + 30),
        without("nbf"),
        without("iat"),
        with("exp", json!((now + 60) as f64 + 0.5)),
        with("aud", json!(["other", "strongroom"])),
    ] {
        site.who(&site.signer.token(&claims)).await.unwrap();
    }
    for (claims, reason) in [
        (with("exp", now - 90), "CREDENTIAL_EXPIRED"),
        (with("nbf", now + 120), "CREDENTIAL_INVALID"),
        (with("iat", now + 120), "CREDENTIAL_INVALID"),
    ] {
        refused(site.who(&site.signer.token(&claims)).await, Code::Unauthenticated, reason);
    }
}

#[tokio::test]
async fn the_audit_record_names_the_principal_and_no_token() {
    let site = Site::open(Signer::p256("one")).await;
    let token = site.signer.token(&claims());
    site.who(&token).await.unwrap();
    let logged = site.server.stop().await.stderr;
    assert!(logged.contains("jwt:ci:builder"), "{logged}");
    for part in token.split('.') {
        assert!(!logged.contains(part), "a part of the token is in the log");
    }
}

#[tokio::test]
async fn the_command_line_presents_a_token_from_a_file() {
    let site = Site::open(Signer::rsa("one")).await;
    let file = site.folder.path().join("token");
    for subject in ["builder", "deployer"] {
        // A renewed token is read at the next start.
        std::fs::write(&file, format!("{}\n", site.signer.token(&with("sub", subject)))).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.env_remove("STRONGROOM_API_KEY").env("STRONGROOM_API_KEY_FILE", &file);
        let output = command.args(["whoami", "-o", "table", "--server", &site.server.url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!("jwt:ci:{subject}")), "{said}");
    }
}

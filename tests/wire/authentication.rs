//! Credentials: which ones are accepted, and that no call is answered without one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom::api::v1::{
    CreateApiKeyRequest, GetSecretRequest, RevokeApiKeyRequest, WhoAmIRequest, WhoAmIResponse,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::caller::{Caller, Credential, Room};
use crate::harness::{Server, shared};
use crate::raw::{Wire, rpcs};
use crate::refusal::{reason_of, refused};
use crate::requests::{create, describe, get, nanos};

const WHO_AM_I: &str = "/strongroom.v1.AccessService/WhoAmI";

#[tokio::test]
async fn every_rpc_refuses_a_caller_without_a_credential() {
    let wire = Wire::to(shared()).await;
    for rpc in rpcs() {
        let reply = wire.call(&rpc, b"").await;
        let answer = reply.map(|_| ()).map_err(|status| (status.code(), reason_of(&status)));
        assert_eq!(answer, Err((Code::Unauthenticated, "CREDENTIAL_MISSING".into())), "{rpc}");
    }
}

#[tokio::test]
async fn every_rpc_refuses_a_bad_credential_before_it_reads_the_message() {
    let wire = Wire::to(shared()).await;
    let unknown = wire.bearer("srk_0123456789abcdef_0123456789abcdef");
    for rpc in rpcs() {
        refused(wire.call(&rpc, &[0xff; 64]).await, Code::Unauthenticated, "CREDENTIAL_MISSING");
        refused(unknown.call(&rpc, &[0xff; 64]).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    }
}

#[tokio::test]
async fn a_key_is_accepted_as_bearer_and_as_x_api_key() {
    let server = shared();
    let root = Caller::root(server).await;
    let key = &server.root_key;
    for credential in [
        Credential::bearer(key),
        // RFC 9110 section 11.1: the scheme is case-insensitive.
        Credential::header("authorization", &format!("bearer {key}")),
        Credential::header("authorization", &format!("BEARER {key}")),
        Credential::header("x-api-key", key),
    ] {
        who_am_i(&root.with(credential)).await.unwrap();
    }
}

#[tokio::test]
async fn malformed_and_unknown_credentials_are_invalid() {
    let server = shared();
    let wire = Wire::to(server).await;
    let key = &server.root_key;
    let secret = key.splitn(3, '_').nth(2).unwrap();
    let malformed: Vec<Vec<u8>> = [
        "srk_",
        "srk__",
        "srk_0123456789abcdef",
        "srk_0123456789abcdef_",
        "nonsense",
        secret,
        &key[1..],
        &key[..key.len() - 1],
        &format!("{key}A"),
        &format!("{key} A"),
        &format!("{key},{key}"),
        &key.to_uppercase(),
        &key.replacen("srk_", "srk-", 1),
        &"A".repeat(4000),
    ]
    .iter()
    .map(|credential| credential.as_bytes().to_vec())
    .chain([vec![0xff; 64], [key.as_bytes(), &[0x80]].concat()])
    .collect();
    for credential in malformed {
        let shown = String::from_utf8_lossy(&credential).into_owned();
        for attempt in [
            wire.header("authorization", [b"Bearer ".as_slice(), &credential].concat()),
            wire.header("x-api-key", credential.clone()),
        ] {
            let answer =
                attempt.call(WHO_AM_I, b"").await.map_err(|status| (status.code(), reason_of(&status)));
            assert_eq!(
                answer.unwrap_err(),
                (Code::Unauthenticated, "CREDENTIAL_INVALID".into()),
                "{shown:?}"
            );
        }
    }
}

#[tokio::test]
async fn two_credentials_are_refused_whichever_they_are() {
    let server = shared();
    let key = &server.root_key;
    let bearer = format!("Bearer {key}");
    for headers in [
        [("authorization", bearer.as_str()), ("x-api-key", key)],
        [("authorization", &bearer), ("authorization", &bearer)],
        [("authorization", &bearer), ("authorization", "Bearer srk_nonsense")],
        [("authorization", ""), ("authorization", &bearer)],
        [("x-api-key", key), ("x-api-key", key)],
        [("x-api-key", ""), ("authorization", &bearer)],
    ] {
        let wire = Wire::to(server).await;
        let both = headers.into_iter().fold(wire, |wire, (name, value)| wire.also(name, value));
        let status = refused(both.call(WHO_AM_I, b"").await, Code::Unauthenticated, "CREDENTIAL_INVALID");
        assert!(status.message().contains("more than one"), "{status:?}");
    }
}

#[tokio::test]
async fn a_header_that_holds_no_key_is_refused() {
    let server = shared();
    let wire = Wire::to(server).await;
    let bare = server.root_key.as_str();
    for value in
        ["", " ", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", bare, &format!("Token {bare}"), "Bearer\t"]
    {
        let status = wire.header("authorization", value).call(WHO_AM_I, b"").await.expect_err(value);
        let reason = reason_of(&status);
        assert_eq!(status.code(), Code::Unauthenticated, "{value:?}: {status:?}");
        assert!(
            ["CREDENTIAL_MISSING", "CREDENTIAL_INVALID"].contains(&reason.as_str()),
            "{value:?}: {status:?}"
        );
    }
}

#[tokio::test]
async fn a_key_altered_in_any_character_is_invalid() {
    let server = shared();
    let wire = Wire::to(server).await;
    let key = server.root_key.as_bytes();
    for at in 0..key.len() {
        // The other character differs in one bit. At the end of the key, a lax decoder could drop that bit.
        for other in [key[at] ^ 1, if key[at] == b'A' { b'B' } else { b'A' }] {
            let mut altered = key.to_vec();
            altered[at] = other;
            let attempt = wire.header("x-api-key", altered);
            let answer =
                attempt.call(WHO_AM_I, b"").await.map_err(|status| (status.code(), reason_of(&status)));
            assert_eq!(answer.unwrap_err(), (Code::Unauthenticated, "CREDENTIAL_INVALID".into()), "at {at}");
        }
    }
}

#[tokio::test]
async fn a_key_of_another_server_is_invalid() {
    let other = Server::alone();
    let caller = Caller::new(shared(), Credential::bearer(&other.root_key)).await;
    refused(caller.secrets().get_secret(get("A")).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn the_id_of_one_key_with_the_secret_of_another_is_invalid() {
    let room = Room::open().await;
    let make = async || {
        let request = CreateApiKeyRequest { name: "a key".into(), ..Default::default() };
        room.root.access().create_api_key(request).await.unwrap().into_inner().credential
    };
    let (one, other) = (make().await, make().await);
    let (id, _) = one.strip_prefix("srk_").unwrap().split_once('_').unwrap();
    let (_, secret) = other.strip_prefix("srk_").unwrap().split_once('_').unwrap();
    let mixed = room.with(Credential::bearer(&format!("srk_{id}_{secret}")));
    refused(who_am_i(&mixed).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn a_revoked_key_is_invalid_at_once_on_open_connections_too() {
    let room = Room::open().await;
    room.create("A", "v").await;
    let id = room.key.id.clone();
    room.root.access().revoke_api_key(RevokeApiKeyRequest { id }).await.unwrap();
    refused(room.secrets().get_secret(get("A")).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    refused(
        room.secrets().create_secret(create("B", "v")).await,
        Code::Unauthenticated,
        "CREDENTIAL_INVALID",
    );
    refused(who_am_i(&room).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    // Other callers still read the secrets that were made with the key.
    let request = GetSecretRequest { namespace: room.namespace.clone(), ..get("A") };
    room.root.secrets().get_secret(request).await.unwrap();
}

#[tokio::test]
async fn an_expired_key_is_expired() {
    let room = Room::open().await;
    let caller = room.with(Credential::bearer(&expired_key(&room).await));
    refused(
        caller.secrets().update_secret(describe("A", "d")).await,
        Code::Unauthenticated,
        "CREDENTIAL_EXPIRED",
    );
    refused(who_am_i(&caller).await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
}

#[tokio::test]
async fn an_expired_key_with_a_wrong_secret_does_not_tell_that_it_expired() {
    let room = Room::open().await;
    let expired = expired_key(&room).await;
    let (id_part, secret) = expired.split_at("srk_0123456789abcdef_".len());
    let reversed: String = secret.chars().rev().collect();
    let guessed = room.with(Credential::bearer(&format!("{id_part}{reversed}")));
    refused(who_am_i(&guessed).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn a_key_that_has_not_expired_works() {
    let room = Room::open().await;
    let request = CreateApiKeyRequest {
        name: "long".into(),
        home_namespace: room.namespace.clone(),
        ttl: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    room.with(Credential::bearer(&made.credential))
        .create(&format!("n{}", Uuid::new_v4().simple()), "v")
        .await;
    let key = made.api_key.unwrap();
    let ttl = nanos(key.expires_at) - nanos(key.created_at);
    assert!((3_590_000_000_000..=3_610_000_000_000).contains(&ttl), "expires after {ttl} ns");
}

/// A key of the room that has expired.
async fn expired_key(room: &Room) -> String {
    let request = CreateApiKeyRequest {
        name: "short".into(),
        home_namespace: room.namespace.clone(),
        ttl: Some(prost_types::Duration { seconds: 0, nanos: 20_000_000 }),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    let expiry = nanos(made.api_key.unwrap().expires_at) + 5_000_000;
    // Both processes read the same clock, so this waits for the expiry and not for the server.
    let left =
        expiry - i128::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    tokio::time::sleep(Duration::from_nanos(u64::try_from(left).unwrap_or(0))).await;
    made.credential
}

async fn who_am_i(caller: &Caller) -> Result<tonic::Response<WhoAmIResponse>, Status> {
    caller.access().who_am_i(WhoAmIRequest {}).await
}

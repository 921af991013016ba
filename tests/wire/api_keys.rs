//! API keys: they are made, listed and revoked, and never shown again.

use prost::Message;
use prost_types::{Duration, Timestamp};
use strongroom::api::v1::{
    ApiKey, CreateApiKeyRequest, ListApiKeysRequest, RevokeApiKeyRequest, WhoAmIRequest,
};
use tonic::Code;

use crate::caller::{Caller, Credential, Room};
use crate::harness::{Server, shared};
use crate::refusal::{fields_of, invalid, refused};
use crate::requests::nanos;

/// The offset of the secret part in a key, after `srk_`, 16 characters of id, and `_`.
const SECRET: usize = 21;

#[tokio::test]
async fn a_new_key_has_the_requested_name_home_and_expiry() {
    let room = Room::open().await;
    let expires_at = Some(Timestamp { seconds: 4_102_444_800, nanos: 0 });
    let request = CreateApiKeyRequest { expires_at, ..key("deploy of the shop", &room.namespace) };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    let api_key = made.api_key.unwrap();
    assert_eq!((api_key.name.as_str(), &api_key.home_namespace), ("deploy of the shop", &room.namespace));
    assert_eq!((api_key.root, api_key.expires_at, api_key.revoked_at), (false, expires_at, None));
    assert!(nanos(api_key.created_at) > 0);
    assert_eq!(api_key.id.len(), 16);
    assert!(made.credential.starts_with(&format!("srk_{}_", api_key.id)), "the id is not in the key");
    let secret = &made.credential[SECRET..];
    assert!(secret.len() >= 43, "256 random bits take at least 43 characters");
    assert!(made.revision > 0);
    room.with(Credential::bearer(&made.credential)).create("A", "v").await;
    assert_eq!(room.names().await, ["A"]);
}

#[tokio::test]
async fn a_key_without_a_home_gets_the_home_of_its_maker() {
    let root = Caller::root(shared()).await;
    let (api_key, _) = root.make_key("homeless", "").await;
    assert_eq!(api_key.home_namespace, "default");
}

#[tokio::test]
async fn key_names_need_not_be_unique_and_may_be_any_text() {
    let root = Caller::root(shared()).await;
    for name in ["twice", "twice", "with spaces & ünïcode 🔑", &"é".repeat(128), "/", "\"{}\""] {
        assert_eq!(root.make_key(name, "").await.0.name, name);
    }
}

#[tokio::test]
async fn key_names_beyond_the_limits_are_refused() {
    let root = Caller::root(shared()).await;
    for name in ["", &"n".repeat(129), &"é".repeat(129), "a\nb", "\0", "tab\t", "del\u{7f}", "c1\u{85}"] {
        invalid(root.access().create_api_key(key(name, "")).await, &["name"]);
    }
}

#[tokio::test]
async fn a_key_cannot_expire_before_it_is_made_or_in_two_ways() {
    let root = Caller::root(shared()).await;
    let later = Some(Timestamp { seconds: 4_102_444_800, nanos: 0 });
    let mut made = Vec::new();
    for expires_at in [
        Timestamp { seconds: 0, nanos: 0 },
        Timestamp { seconds: 1_000_000_000, nanos: 0 },
        Timestamp { seconds: -1, nanos: 0 },
        Timestamp { seconds: i64::MIN, nanos: 0 },
        Timestamp { seconds: i64::MAX, nanos: 0 },
        Timestamp { seconds: 4_102_444_800, nanos: -1 },
        Timestamp { seconds: 4_102_444_800, nanos: i32::MAX },
    ] {
        let request = CreateApiKeyRequest { expires_at: Some(expires_at), ..key("k", "") };
        match root.access().create_api_key(request).await {
            Ok(_) => made.push(format!("{expires_at:?}")),
            refusal => drop(invalid(refusal, &["expires_at"])),
        }
    }
    for ttl in [
        Duration { seconds: 0, nanos: 0 },
        Duration { seconds: -1, nanos: 0 },
        Duration { seconds: 0, nanos: -1 },
        Duration { seconds: i64::MAX, nanos: 999_999_999 },
        Duration { seconds: i64::MIN, nanos: 0 },
        Duration { seconds: 1, nanos: -1 },
        Duration { seconds: 1, nanos: i32::MAX },
    ] {
        let request = CreateApiKeyRequest { ttl: Some(ttl), ..key("k", "") };
        match root.access().create_api_key(request).await {
            Ok(_) => made.push(format!("{ttl:?}")),
            refusal => drop(invalid(refusal, &["ttl"])),
        }
    }
    assert_eq!(made, Vec::<String>::new(), "keys were made for refused requests");
    let ttl = Some(Duration { seconds: 60, nanos: 0 });
    let request = CreateApiKeyRequest { expires_at: later, ttl, ..key("k", "") };
    let status =
        refused(root.access().create_api_key(request).await, Code::InvalidArgument, "VALIDATION_FAILED");
    let fields = fields_of(&status);
    assert!(
        fields.iter().all(|field| field == "ttl" || field == "expires_at") && !fields.is_empty(),
        "{status:?}"
    );
}

#[tokio::test]
async fn every_ttl_of_more_than_0_is_accepted() {
    let root = Caller::root(shared()).await;
    for ttl in [Duration { seconds: 0, nanos: 1 }, Duration { seconds: 100 * 365 * 24 * 3600, nanos: 0 }] {
        let request = CreateApiKeyRequest { ttl: Some(ttl), ..key("k", "") };
        let made = root.access().create_api_key(request).await;
        let made =
            made.unwrap_or_else(|refusal| panic!("{ttl:?}: {refusal:?}")).into_inner().api_key.unwrap();
        assert!(nanos(made.expires_at) >= nanos(made.created_at));
    }
}

#[tokio::test]
async fn create_api_key_names_all_wrong_fields_at_once() {
    let root = Caller::root(shared()).await;
    let ttl = Some(Duration { seconds: 0, nanos: 0 });
    let request = CreateApiKeyRequest { ttl, ..key("", "No") };
    invalid(root.access().create_api_key(request).await, &["home_namespace", "name", "ttl"]);
}

#[tokio::test]
async fn keys_are_listed_oldest_first_with_revoked_and_expired_ones() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let (first, _) = root.make_key("first", "a").await;
    let (second, _) = root.make_key("second", "b").await;
    let ttl = Some(Duration { seconds: 0, nanos: 20_000_000 });
    let request = CreateApiKeyRequest { ttl, ..key("third", "c") };
    let third = root.access().create_api_key(request).await.unwrap().into_inner().api_key.unwrap();
    let revoked = revoke(&root, &second.id).await;

    let listed = keys(&root).await;
    assert_eq!(listed[1..], [first, revoked, third]);
    assert!(listed[0].root);
}

#[tokio::test]
async fn a_key_is_never_shown_again() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let made = root.access().create_api_key(key("once", "")).await.unwrap().into_inner();
    let id = made.api_key.unwrap().id;
    let caller = root.with(Credential::bearer(&made.credential));
    let mut shown = root
        .access()
        .list_api_keys(ListApiKeysRequest::default())
        .await
        .unwrap()
        .into_inner()
        .encode_to_vec();
    shown.extend(caller.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner().encode_to_vec());
    shown.extend(revoke(&root, &id).await.encode_to_vec());
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(shown.contains(&id));
    for credential in [&made.credential, &server.root_key] {
        assert!(!shown.contains(&credential[SECRET..]), "a reply shows a key");
    }
    let secrets = [&made.credential, &server.root_key].map(|credential| credential[SECRET..].to_owned());
    let output = server.stop().await;
    assert!(!secrets.iter().any(|secret| output.all().contains(secret)), "the log shows a key");
}

#[tokio::test]
async fn revoking_again_changes_nothing_and_succeeds() {
    let room = Room::open().await;
    let first = revoke(&room.root, &room.key.id).await;
    assert!(nanos(first.revoked_at) >= nanos(first.created_at));
    assert_eq!(ApiKey { revoked_at: None, ..first.clone() }, room.key);
    assert_eq!(revoke(&room.root, &room.key.id).await, first);
    assert!(keys(&room.root).await.contains(&first));
}

#[tokio::test]
async fn revoking_an_unknown_key_is_not_found() {
    let room = Room::open().await;
    // The reversed id has the form of an id, but belongs to no key.
    let unknown: String = room.key.id.chars().rev().collect();
    let reply = room.root.access().revoke_api_key(RevokeApiKeyRequest { id: unknown }).await;
    refused(reply, Code::NotFound, "API_KEY_NOT_FOUND");
    invalid(room.root.access().revoke_api_key(RevokeApiKeyRequest { id: String::new() }).await, &["id"]);
    room.create("A", "v").await;
}

#[tokio::test]
async fn the_root_key_may_not_revoke_itself() {
    let room = Room::open().await;
    let me = keys(&room.root).await.into_iter().find(|key| key.root).unwrap();
    let reply = room.root.access().revoke_api_key(RevokeApiKeyRequest { id: me.id.clone() }).await;
    refused(reply, Code::FailedPrecondition, "LAST_ADMINISTRATOR");
    assert!(keys(&room.root).await.contains(&me));
}

fn key(name: &str, home_namespace: &str) -> CreateApiKeyRequest {
    CreateApiKeyRequest { name: name.into(), home_namespace: home_namespace.into(), ..Default::default() }
}

async fn keys(root: &Caller) -> Vec<ApiKey> {
    root.access().list_api_keys(ListApiKeysRequest::default()).await.unwrap().into_inner().items
}

async fn revoke(root: &Caller, id: &str) -> ApiKey {
    let request = RevokeApiKeyRequest { id: id.into() };
    root.access().revoke_api_key(request).await.unwrap().into_inner().api_key.unwrap()
}

//! What all refusals have in common: their form, and messages for people.

use std::collections::BTreeMap;

use strongroom::api::v1::{
    CreateApiKeyRequest, CreateSecretRequest, GetSecretRequest, RevokeApiKeyRequest, UpdateSecretRequest,
    WhoAmIRequest,
};
use tonic::Status;
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::caller::{Credential, Room};
use crate::harness::shared;
use crate::raw::Wire;
use crate::refusal::reason_of;
use crate::requests::{create, describe, get};

#[tokio::test]
async fn messages_are_whole_sentences() {
    for (reason, status) in one_of_each().await {
        let message = status.message();
        let begins = message.chars().next().is_some_and(|first| !first.is_lowercase());
        assert!(begins && message.ends_with('.') && message.contains(' '), "{reason}: {message:?}");
    }
}

#[tokio::test]
async fn no_two_refusals_have_the_same_request_id() {
    let mut ids = std::collections::BTreeSet::new();
    for (reason, status) in one_of_each().await {
        // Not every refusal has a request id. But no id may occur twice, because it leads to one entry of the log.
        if let Some(info) = status.get_details_request_info() {
            assert!(!info.request_id.is_empty(), "{reason}");
            assert!(ids.insert(info.request_id), "{reason}: two requests have the same id");
        }
    }
}

#[tokio::test]
async fn details_are_those_of_the_standard_error_model() {
    for (reason, status) in one_of_each().await {
        let details = status.check_error_details_vec().unwrap_or_else(|error| panic!("{reason}: {error}"));
        assert!(!details.is_empty(), "{reason}");
        let bad_request = status.get_details_bad_request().is_some();
        let names_fields = ["VALIDATION_FAILED", "NOT_SERVED"].contains(&reason.as_str());
        assert!(bad_request || !names_fields, "{reason} names no field: {status:?}");
    }
}

/// One refusal for each reason that a caller can cause.
async fn one_of_each() -> BTreeMap<String, Status> {
    let room = Room::open().await;
    let stale = room.create("A", "v").await.etag;
    room.update(describe("A", "d")).await;
    let request_id = Uuid::new_v4().to_string();
    room.create_with(CreateSecretRequest { request_id: request_id.clone(), ..create("B", "v") }).await;
    let root_id =
        room.root.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner().api_key.unwrap().id;
    let unknown_id: String = room.key.id.chars().rev().collect();
    let mut secrets = room.secrets();
    let mut access = room.root.access();
    let stranger = |credential| room.with(credential).secrets();
    let wire = Wire::as_root(shared()).await;

    let refusals = [
        secrets.get_secret(get("not a name")).await.map(drop),
        secrets.get_secret(get("absent")).await.map(drop),
        secrets.get_secret(GetSecretRequest { version: Some(9), ..get("A") }).await.map(drop),
        secrets.get_secret(GetSecretRequest { namespace: "default".into(), ..get("A") }).await.map(drop),
        secrets.create_secret(create("A", "v")).await.map(drop),
        secrets.create_secret(CreateSecretRequest { request_id, ..create("C", "v") }).await.map(drop),
        secrets.update_secret(UpdateSecretRequest { etag: stale, ..describe("A", "e") }).await.map(drop),
        stranger(Credential::default()).get_secret(get("A")).await.map(drop),
        stranger(Credential::bearer("srk_nobody")).get_secret(get("A")).await.map(drop),
        access.revoke_api_key(RevokeApiKeyRequest { id: root_id }).await.map(drop),
        access.revoke_api_key(RevokeApiKeyRequest { id: unknown_id }).await.map(drop),
        access.create_api_key(CreateApiKeyRequest::default()).await.map(drop),
        wire.call("/strongroom.v1.SecretService/CreateSecret", &vec![0; (1 << 20) + 1]).await.map(drop),
    ];
    let refusals: BTreeMap<String, Status> = refusals
        .into_iter()
        .map(|reply| reply.expect_err("each of these has to be refused"))
        .map(|status| (reason_of(&status), status))
        .collect();
    assert_eq!(refusals.len(), 12, "{:?}", refusals.keys());
    refusals
}

//! No value, and no key, in any refusal or log.

use prost::Message;
use strongroom::api::v1::{
    CreateSecretRequest, DeleteSecretRequest, GetSecretRequest, ListSecretsRequest, RotateSecretRequest,
    UpdateSecretRequest,
};
use tonic::Status;
use uuid::Uuid;

use crate::caller::{Caller, Credential, Room};
use crate::harness::Server;
use crate::raw::Wire;
use crate::requests::{
    MAX_VALUE, binary, create, delete, describe, get, list, mask, pairs, random_uuid, rotate, text, update,
};

const CANARY: &str = "cAnArY-Vq7zW3kP-value";

#[tokio::test]
async fn no_value_is_in_any_refusal_or_log() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let mut refusals = Refusals::default();
    let mut secrets = room.secrets();

    // Served requests are logged as well.
    let first = room.create("A", CANARY).await;
    room.create_with(CreateSecretRequest { value: binary(CANARY), ..create("B", "") }).await;
    room.get("A").await;
    room.update(UpdateSecretRequest { value: text(CANARY), ..update("A") }).await;
    room.rotate("A", CANARY).await;

    let request_id = Uuid::new_v4().to_string();
    room.create_with(CreateSecretRequest { request_id: request_id.clone(), ..create("C", CANARY) }).await;
    let second = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    for request in [
        create("not a name", CANARY),
        create("A", CANARY),
        CreateSecretRequest { namespace: "default".into(), ..create("A", CANARY) },
        CreateSecretRequest { namespace: "No".into(), ..create("A", CANARY) },
        CreateSecretRequest { value: text(CANARY.repeat(MAX_VALUE / 8)), ..create("D", "") },
        CreateSecretRequest { value: binary(CANARY.repeat(MAX_VALUE / 8)), ..create("D", "") },
        CreateSecretRequest { ttl: second, ..create("D", CANARY) },
        CreateSecretRequest { generate: random_uuid(), ..create("D", CANARY) },
        CreateSecretRequest { return_value: true, ..create("D", CANARY) },
        CreateSecretRequest { request_id, ..create("D", CANARY) },
    ] {
        refusals.add(secrets.create_secret(request).await);
    }
    for request in [
        UpdateSecretRequest { value: text(CANARY), ..update("absent") },
        UpdateSecretRequest { value: text(CANARY), etag: first.etag.clone(), ..update("A") },
        UpdateSecretRequest { value: text(CANARY), new_name: Some("B".into()), ..update("A") },
        UpdateSecretRequest { value: text(CANARY), update_mask: mask(&["nonsense"]), ..update("A") },
    ] {
        refusals.add(secrets.update_secret(request).await);
    }
    for request in [
        rotate("absent", CANARY),
        RotateSecretRequest { stage: true, ..rotate("A", CANARY) },
        RotateSecretRequest { etag: first.etag, value: binary(CANARY), ..rotate("A", "") },
    ] {
        refusals.add(secrets.rotate_secret(request).await);
    }
    for stranger in
        [Credential::default(), Credential::bearer(CANARY), Credential::header("x-api-key", CANARY)]
    {
        refusals.add(room.with(stranger).secrets().create_secret(create("A", CANARY)).await);
    }
    // Decodable up to the value, and then not.
    let wire = Wire::as_root(&server).await;
    let broken = [create("D", CANARY).encode_to_vec(), vec![0xff; 16]].concat();
    refusals.add(wire.call("/strongroom.v1.SecretService/CreateSecret", &broken).await);

    refusals.none_shows(CANARY);
    let log = server.stop().await.all();
    assert!(log.contains("strongroom::audit"), "nothing was logged, so the log proves nothing");
    none_shows(log.as_bytes(), CANARY, "the log");
}

#[tokio::test]
async fn a_value_put_into_the_wrong_field_is_not_repeated_in_the_refusal() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let root = Caller::root(&server).await;
    room.create("A", "v").await;
    let mut refusals = Refusals::default();
    let mut secrets = root.secrets();
    let long = CANARY.repeat(100);
    let canary = || CANARY.to_owned();
    for request in [
        create(CANARY, "v"),
        CreateSecretRequest { namespace: canary(), ..create("D", "v") },
        CreateSecretRequest { description: long.clone(), ..create("D", "v") },
        CreateSecretRequest { metadata: pairs(&[("k", &long)]), ..create("D", "v") },
        CreateSecretRequest { request_id: canary(), ..create("D", "v") },
    ] {
        refusals.add(secrets.create_secret(request).await);
    }
    for request in [get(CANARY), GetSecretRequest { namespace: canary(), ..get("A") }] {
        refusals.add(secrets.get_secret(request).await);
    }
    for request in [
        ListSecretsRequest { page_token: canary(), ..list() },
        ListSecretsRequest { order_by: canary(), ..list() },
        ListSecretsRequest { namespace: canary(), ..list() },
        ListSecretsRequest { metadata: pairs(&[("k", &long)]), ..list() },
    ] {
        refusals.add(secrets.list_secrets(request).await);
    }
    let mut secrets = room.secrets();
    for request in [
        describe(CANARY, "d"),
        describe("A", &long),
        UpdateSecretRequest { new_name: Some(canary()), ..update("A") },
        UpdateSecretRequest { update_mask: mask(&[CANARY]), ..describe("A", "d") },
        UpdateSecretRequest { etag: canary(), ..describe("A", "d") },
        UpdateSecretRequest { request_id: canary(), ..describe("A", "d") },
        UpdateSecretRequest { metadata: pairs(&[("k", &long)]), ..update("A") },
    ] {
        refusals.add(secrets.update_secret(request).await);
    }
    refusals.add(secrets.delete_secret(DeleteSecretRequest { etag: canary(), ..delete("A") }).await);
    refusals
        .add(secrets.rotate_secret(RotateSecretRequest { request_id: canary(), ..rotate("A", "w") }).await);
    refusals.none_shows(CANARY);
}

#[tokio::test]
async fn descriptions_metadata_and_credentials_are_not_logged() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let request = CreateSecretRequest {
        description: format!("description {CANARY}"),
        metadata: pairs(&[("key-cAnArY-Vq7zW3kP", CANARY)]),
        ..create("A", "v")
    };
    root.create_with(request).await;
    root.update(describe("A", CANARY)).await;
    root.list(ListSecretsRequest { metadata: pairs(&[("k", CANARY)]), ..list() }).await;
    let stranger = root.with(Credential::bearer("srk_0123456789abcdef_cAnArY-Vq7zW3kP"));
    stranger.secrets().get_secret(get("A")).await.expect_err("nobody's key");
    let root_key = server.root_key.clone();
    let output = server.stop().await;
    none_shows(output.all().as_bytes(), "cAnArY-Vq7zW3kP", "the log");
    assert!(!output.all().contains(&root_key), "the server prints its root key");
}

/// What callers were told when they were refused.
#[derive(Default)]
struct Refusals(Vec<Status>);

impl Refusals {
    #[track_caller]
    fn add<T>(&mut self, reply: Result<T, Status>) {
        self.0.push(reply.map(drop).expect_err("a request that has to be refused"));
    }

    #[track_caller]
    fn none_shows(&self, canary: &str) {
        for status in &self.0 {
            none_shows(status.message().as_bytes(), canary, "a message");
            none_shows(status.details(), canary, "the details of a refusal");
            none_shows(format!("{:?}", status.metadata()).as_bytes(), canary, "the trailers of a refusal");
        }
    }
}

/// Asserts that the canary is there neither plainly nor in an encoding that logs and details use for bytes.
#[track_caller]
fn none_shows(text: &[u8], canary: &str, place: &str) {
    let bytes = canary.as_bytes();
    let listed = format!("{bytes:?}");
    for form in [
        canary.to_owned(),
        data_encoding::HEXLOWER.encode(bytes),
        data_encoding::HEXUPPER.encode(bytes),
        // Without the last group, which depends on what follows.
        data_encoding::BASE64_NOPAD.encode(&bytes[..bytes.len() / 3 * 3]),
        listed[1..listed.len() - 1].to_owned(),
    ] {
        let shown = text.windows(form.len()).any(|window| window == form.as_bytes());
        assert!(!shown, "{place} shows {form:?}: {}", String::from_utf8_lossy(text));
    }
}

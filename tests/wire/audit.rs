//! Audit events: exactly one for each request of a known caller, also for a refused one, and one a second for all refusals of
//! a stranger. It has the caller, the caller's address, the call and the outcome.

use std::collections::BTreeSet;

use prost::Message;
use serde_json::Value as Json;
use strongroom::api::v1::{
    CreateSecretRequest, DeleteSecretRequest, GetSecretRequest, GetStatusRequest, ListApiKeysRequest,
    ListSecretsRequest, PromoteVersionRequest, RevokeApiKeyRequest, UpdateSecretRequest, WhoAmIRequest,
};
use tokio::task::JoinSet;
use tonic::Status;
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::caller::{Caller, Credential, Room};
use crate::harness::Server;
use crate::raw::{Wire, rpcs};
use crate::requests::{create, delete, describe, get, list, rename, rotate};

#[tokio::test]
async fn every_served_request_gives_exactly_one_event() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let (root_id, namespace) = (root_id(&room).await, room.namespace.clone());
    room.create("A", "v").await;
    room.get("A").await;
    room.list(list()).await;
    room.update(describe("A", "d")).await;
    room.rotate("A", "w").await;
    room.update(rename("A", "B")).await;
    room.delete("B").await;
    room.root.operator().get_status(GetStatusRequest {}).await.unwrap();
    room.root.access().list_api_keys(ListApiKeysRequest::default()).await.unwrap();
    room.root.access().revoke_api_key(RevokeApiKeyRequest { id: room.key.id.clone() }).await.unwrap();

    let events = events_of(server).await;
    let told: Vec<_> = events.iter().map(|event| (event.rpc(), event.text("name"))).collect();
    let secret =
        |method: &str, name: &str| (format!("strongroom.v1.SecretService/{method}"), name.to_owned());
    let expected = [
        secret("CreateSecret", "A"),
        secret("GetSecret", "A"),
        secret("ListSecrets", ""),
        secret("UpdateSecret", "A"),
        secret("RotateSecret", "A"),
        secret("UpdateSecret", "A"),
        secret("DeleteSecret", "B"),
    ];
    assert_eq!(told[2..9], expected, "the first two are CreateApiKey and WhoAmI");
    let methods: Vec<String> = [&events[..2], &events[9..]].concat().iter().map(Event::rpc).collect();
    let access = |method: &str| format!("strongroom.v1.AccessService/{method}");
    let status = "strongroom.v1.OperatorService/GetStatus".to_owned();
    let around =
        [access("CreateApiKey"), access("WhoAmI"), status, access("ListApiKeys"), access("RevokeApiKey")];
    assert_eq!(methods, around);

    for event in &events {
        assert_eq!((event.text("outcome"), event.text("reason")), ("ok".into(), String::new()), "{event:?}");
        assert!(event.text("peer").starts_with("127.0.0.1:"), "{event:?}");
    }
    for event in &events[2..9] {
        assert_eq!(event.text("principal"), format!("key:{}", room.key.id));
        assert_eq!(
            event.text("namespace"),
            namespace,
            "an empty namespace is recorded as the home that it stands for"
        );
    }
    for event in [&events[..2], &events[9..]].concat() {
        assert_eq!(event.text("principal"), format!("key:{root_id}"));
    }
    let versions: Vec<String> = [2, 3, 6].iter().map(|&at: &usize| events[at].text("version")).collect();
    assert_eq!(versions, ["1", "1", "2"], "of the create, the get and the rotation");
}

#[tokio::test]
async fn every_refused_request_gives_exactly_one_event_with_its_reason() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let wire = Wire::as_root(&server).await;
    room.create("A", "v").await;
    let request_id = Uuid::new_v4().to_string();
    let mut refusals: Vec<(&str, &str, Status)> = Vec::new();
    let mut secrets = room.secrets();
    let mut add = |rpc, name, reply: Result<(), Status>| refusals.push((rpc, name, reply.expect_err(rpc)));

    add("GetSecret", "absent", secrets.get_secret(get("absent")).await.map(drop));
    add("CreateSecret", "A", secrets.create_secret(create("A", "v")).await.map(drop));
    add("GetSecret", "?", secrets.get_secret(get("not a name")).await.map(drop));
    let request = ListSecretsRequest { limit: Some(0), ..list() };
    add("ListSecrets", "", secrets.list_secrets(request).await.map(drop));
    let request = PromoteVersionRequest { name: "A".into(), version: 7, ..Default::default() };
    add("PromoteVersion", "A", secrets.promote_version(request).await.map(drop));
    let request = UpdateSecretRequest { etag: "stale".into(), ..describe("A", "d") };
    add("UpdateSecret", "A", secrets.update_secret(request).await.map(drop));
    add("RotateSecret", "absent", secrets.rotate_secret(rotate("absent", "v")).await.map(drop));
    let request = GetSecretRequest { version: Some(7), ..get("A") };
    add("GetSecret", "A", secrets.get_secret(request).await.map(drop));
    let request = GetSecretRequest { namespace: "default".into(), ..get("A") };
    add("GetSecret", "A", secrets.get_secret(request).await.map(drop));
    room.create_with(CreateSecretRequest { request_id: request_id.clone(), ..create("B", "v") }).await;
    let request = CreateSecretRequest { request_id, ..create("C", "v") };
    add("CreateSecret", "C", secrets.create_secret(request).await.map(drop));
    let undecodable = wire.call("/strongroom.v1.SecretService/CreateSecret", &[0xff; 20]).await;
    add("CreateSecret", "?", undecodable.map(drop));
    let too_large = wire.call("/strongroom.v1.SecretService/CreateSecret", &vec![0; (1 << 20) + 1]).await;
    add("CreateSecret", "?", too_large.map(drop));
    // The caller has no rights in this namespace.
    let request = DeleteSecretRequest { namespace: "default".into(), ..delete("A") };
    add("DeleteSecret", "A", secrets.delete_secret(request).await.map(drop));

    let key = format!("key:{}", room.key.id);
    let events: Vec<Event> =
        events_of(server).await.into_iter().filter(|event| event.text("outcome") != "ok").collect();
    assert_eq!(events.len(), refusals.len(), "{events:?}");
    for (event, (rpc, name, status)) in events.iter().zip(&refusals) {
        assert_eq!(event.rpc(), format!("strongroom.v1.SecretService/{rpc}"), "{event:?}");
        let reason = status.get_details_error_info().unwrap().reason;
        assert_eq!((event.text("outcome"), event.text("reason")), (code_name(status), reason), "{event:?}");
        assert!(event.text("peer").starts_with("127.0.0.1:"), "{event:?}");
        if *name != "?" {
            assert_eq!(event.text("name"), *name, "{event:?}");
            assert_eq!(event.text("principal"), key, "{event:?}");
        }
        if event.text("outcome") == "PERMISSION_DENIED" {
            assert_eq!(event.text("namespace"), "default", "{event:?}");
        }
        if let Some(info) = status.get_details_request_info() {
            assert_eq!(event.text("request_id"), info.request_id, "{event:?}");
        }
    }
}

#[tokio::test]
async fn every_rpc_is_audited_when_it_is_refused() {
    let server = Server::alone();
    let wire = Wire::as_root(&server).await;
    let rpcs = rpcs();
    for rpc in &rpcs {
        wire.call(rpc, &[0xff; 20]).await.map(drop).expect_err(rpc);
    }
    let mut told: Vec<_> = events_of(server).await.iter().map(Event::rpc).collect();
    told.dedup(); // RestoreBackup has an event for its beginning, too
    let expected: Vec<_> = rpcs.iter().map(|rpc| rpc[1..].to_owned()).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn one_refusal_of_a_stranger_has_an_event_like_any_other() {
    for (credential, reason) in [
        (Credential::default(), "CREDENTIAL_MISSING"),
        (Credential::bearer("srk_nonsense"), "CREDENTIAL_INVALID"),
    ] {
        let server = Server::alone();
        let stranger = Caller::new(&server, credential).await;
        let status = stranger.secrets().delete_secret(delete("A")).await.unwrap_err();
        let events = events_of(server).await;
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(event.rpc(), "strongroom.v1.SecretService/DeleteSecret");
        assert_eq!((event.text("outcome"), event.text("reason")), ("UNAUTHENTICATED".into(), reason.into()));
        assert!(event.text("peer").starts_with("127.0.0.1:") && event.text("name").is_empty(), "{event:?}");
        assert!(event.text("principal").is_empty(), "no caller was authenticated: {event:?}");
        let info = status.get_details_request_info().unwrap();
        assert_eq!(event.text("request_id"), info.request_id);
    }
}

#[tokio::test]
async fn the_use_of_a_revoked_key_names_the_key() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.root.access().revoke_api_key(RevokeApiKeyRequest { id: room.key.id.clone() }).await.unwrap();
    room.secrets().get_secret(get("A")).await.unwrap_err();
    let events = events_of(server).await;
    let refused: Vec<_> =
        events.iter().filter(|event| event.text("reason") == "CREDENTIAL_INVALID").collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].text("subject"), room.key.id);
    assert_eq!(refused[0].text("principal"), "");
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own_also_a_repeated_one() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let request = CreateSecretRequest { request_id: Uuid::new_v4().to_string(), ..create("A", "v") };
    for _ in 0..3 {
        room.create_with(request.clone()).await;
    }
    let events = events_of(server).await;
    let creates: Vec<_> = events.iter().filter(|event| event.rpc().ends_with("/CreateSecret")).collect();
    assert_eq!(creates.len(), 3);
    assert!(creates.iter().all(|event| event.text("outcome") == "ok"), "{creates:?}");
    let ids: BTreeSet<String> = events.iter().map(|event| event.text("request_id")).collect();
    assert!(ids.len() == events.len() && !ids.contains(""), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_concurrent_requests_gives_one_whole_event() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("A", "v").await;
    let mut reads = JoinSet::new();
    for _ in 0..200 {
        let mut secrets = room.secrets();
        reads.spawn(async move { drop(secrets.get_secret(get("A")).await.unwrap()) });
    }
    reads.join_all().await;
    let events = events_of(server).await;
    assert_eq!(events.iter().filter(|event| event.rpc().ends_with("/GetSecret")).count(), 200);
    assert_eq!(events.len(), 202);
}

#[tokio::test]
async fn a_value_is_sent_only_after_its_event_is_written() {
    let server = Server::alone();
    let wire = Wire::as_root(&server).await;
    wire.call("/strongroom.v1.SecretService/CreateSecret", &create("A", "v").encode_to_vec()).await.unwrap();
    wire.call("/strongroom.v1.SecretService/GetSecret", &get("A").encode_to_vec()).await.unwrap();
    // A killed server writes nothing more, so the event was written before the reply.
    let log = server.kill().stderr;
    assert!(events(&log).iter().any(|event| event.rpc().ends_with("/GetSecret")), "{log}");
}

/// One audit event.
#[derive(Clone, Debug)]
pub struct Event(Json);

impl Event {
    pub fn rpc(&self) -> String {
        self.text("rpc")
    }

    /// A field as text. A field that does not apply to a request may be absent, null or empty.
    pub fn text(&self, field: &str) -> String {
        match &self.0["fields"][field] {
            Json::Null => String::new(),
            Json::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Ends the server, so that no event can follow, and returns all events in order.
pub async fn events_of(server: Server) -> Vec<Event> {
    events(&server.stop().await.stderr)
}

#[track_caller]
pub fn events(log: &str) -> Vec<Event> {
    let mut events = Vec::new();
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let event: Json = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("a line of the log is not JSON ({error}): {line:?}"));
        let time = event["timestamp"].as_str().unwrap_or_else(|| panic!("no timestamp: {line}"));
        assert!(time.contains('T') && time.ends_with('Z'), "{time:?} is not in UTC");
        if event["target"] == "strongroom::audit" {
            events.push(Event(event));
        }
    }
    events
}

async fn root_id(room: &Room) -> String {
    room.root.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner().api_key.unwrap().id
}

/// The name of a gRPC code in the gRPC specification.
fn code_name(status: &Status) -> String {
    use tonic::Code;
    let name = match status.code() {
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::Aborted => "ABORTED",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Unauthenticated => "UNAUTHENTICATED",
        other => panic!("{other:?} is not expected here"),
    };
    name.into()
}

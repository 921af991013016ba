//! A key that is revoked or expires ends the requests that it had begun: what waits is refused, and a change is made only with
//! the key as it was.

use prost::Message;
use prost::bytes::Bytes;
use serde_json::Value as Json;
use strongroom::api::v1::{
    CreateApiKeyRequest, GetSecretRequest, ListSecretsRequest, ResolveReferencesRequest, RevokeApiKeyRequest,
    RevokeApiKeyResponse, RotateSecretRequest, WatchSecretsRequest, WhoAmIRequest,
};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Code, Response, Status};

use crate::caller::{Caller, Credential, Room};
use crate::harness::{Launch, PATIENCE, Server};
use crate::raw::{Wire, framed};
use crate::refusal::{reason_of, refused};
use crate::requests::{get, list, rotate};

/// A revision that no test reaches.
const AHEAD: u64 = 1 << 40;

async fn revoke(room: &Room) -> RevokeApiKeyResponse {
    let request = RevokeApiKeyRequest { id: room.key.id.clone() };
    room.root.access().revoke_api_key(request).await.unwrap().into_inner()
}

/// Returns after the server has seen every request of the tasks that were spawned before. They use the same connection, and this
/// thread polls them before an answer arrives. The server looks at callers in the order in which their requests arrive.
async fn sent(room: &Room) {
    room.root.access().who_am_i(WhoAmIRequest {}).await.unwrap();
}

/// The outcome and the reason of each record of these RPCs, and whether the record has the key as the caller.
fn records(log: &str, rpc: &str, key: &str) -> Vec<(String, String, bool)> {
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let events = lines.map(|line| serde_json::from_str::<Json>(line).unwrap());
    let fields =
        events.filter(|event| event["target"] == "strongroom::audit").map(|event| event["fields"].clone());
    let of_rpc = fields.filter(|fields| fields["rpc"].as_str().is_some_and(|name| name.ends_with(rpc)));
    let text = |fields: &Json, name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    of_rpc
        .map(|fields| {
            let known = text(&fields, "principal") == format!("key:{key}");
            (text(&fields, "outcome"), text(&fields, "reason"), known)
        })
        .collect()
}

#[tokio::test]
async fn a_read_that_waits_ends_when_its_key_is_revoked() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("A", "v").await;
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        let mut secrets = room.secrets();
        let (read, page) = (
            GetSecretRequest { min_revision: AHEAD, ..get("A") },
            ListSecretsRequest { min_revision: AHEAD, ..list() },
        );
        let mut others = room.secrets();
        waiting.spawn(async move { secrets.get_secret(read).await.map(drop) });
        waiting.spawn(async move { others.list_secrets(page).await.map(drop) });
    }
    sent(&room).await;
    revoke(&room).await;
    for ended in waiting.join_all().await {
        refused(ended.map(Response::new), Code::Unauthenticated, "CREDENTIAL_INVALID");
    }
    let log = server.stop().await.stderr;
    let expected = vec![("UNAUTHENTICATED".to_owned(), "CREDENTIAL_INVALID".to_owned(), true); 8];
    for rpc in ["/GetSecret", "/ListSecrets"] {
        assert_eq!(records(&log, rpc, &room.key.id), expected, "{rpc}");
    }
}

#[tokio::test]
async fn a_value_that_is_made_after_the_revocation_is_never_sent() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let made = room.create("A", "old").await.revision;
    let mut waiting = JoinSet::new();
    for _ in 0..16 {
        let mut secrets = room.secrets();
        // The revocation is the next change, and the rotation the one after it.
        let request = GetSecretRequest { min_revision: made + 2, ..get("A") };
        waiting.spawn(async move { secrets.get_secret(request).await.map(drop) });
    }
    sent(&room).await;
    let revoked = revoke(&room).await;
    let rotated = room
        .root
        .secrets()
        .rotate_secret(RotateSecretRequest { namespace: room.namespace.clone(), ..rotate("A", "new") })
        .await
        .unwrap()
        .into_inner();
    assert!(rotated.revision > revoked.revision && rotated.version == 2);
    for ended in waiting.join_all().await {
        refused(ended.map(Response::new), Code::Unauthenticated, "CREDENTIAL_INVALID");
    }
}

#[tokio::test]
async fn a_read_that_waits_ends_when_its_key_expires() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("A", "v").await;
    let ttl = Some(prost_types::Duration { seconds: 3, nanos: 0 });
    let request = CreateApiKeyRequest {
        name: "short".into(),
        home_namespace: room.namespace.clone(),
        ttl,
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    let short = room.with(Credential::bearer(&made.credential));
    let request = GetSecretRequest { min_revision: AHEAD, ..get("A") };
    let ended = short.secrets().get_secret(request).await;
    refused(ended, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    let log = server.stop().await.stderr;
    let told = records(&log, "/GetSecret", &made.api_key.unwrap().id);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0.as_str(), told[0].1.as_str()), ("UNAUTHENTICATED", "CREDENTIAL_EXPIRED"));
}

#[tokio::test]
async fn a_watch_ends_when_its_key_expires() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let request = CreateApiKeyRequest {
        name: "short".into(),
        home_namespace: room.namespace.clone(),
        ttl: Some(prost_types::Duration { seconds: 3, nanos: 0 }),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    let short = room.with(Credential::bearer(&made.credential));
    let mut steps = short.secrets().watch_secrets(WatchSecretsRequest::default()).await.unwrap().into_inner();
    let ended = async {
        loop {
            match steps.message().await {
                Ok(step) => drop(step.expect("the watch goes on")),
                Err(end) => break end,
            }
        }
    };
    let end = timeout(PATIENCE, ended).await.expect("the watch ends");
    refused(Err::<Response<()>, _>(end), Code::Unauthenticated, "CREDENTIAL_EXPIRED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_made_with_a_key_after_its_revocation() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("A", "v").await;
    // All of them wait for one another.
    let mut rotations = JoinSet::new();
    for n in 0..200 {
        let mut secrets = room.secrets();
        let request = rotate("A", &n.to_string());
        rotations.spawn(async move { secrets.rotate_secret(request).await.map(Response::into_inner) });
    }
    let revoked = revoke(&room).await;
    let (mut made, mut withheld) = (0, 0);
    for ended in rotations.join_all().await {
        match ended {
            Ok(rotated) => {
                made += 1;
                assert!(rotated.revision < revoked.revision, "{} and {}", rotated.revision, revoked.revision);
            }
            Err(status) => {
                withheld += 1;
                assert_eq!(reason_of(&status), "CREDENTIAL_INVALID");
            }
        }
    }
    assert_eq!(made + withheld, 200);
    assert!(withheld > 0, "no change waited");
    let left = room
        .root
        .secrets()
        .get_secret(GetSecretRequest { namespace: room.namespace.clone(), ..get("A") })
        .await
        .unwrap()
        .into_inner();
    assert!(
        left.secret.unwrap().revision < revoked.revision,
        "the last change was made before the revocation"
    );
    // A change whose answer was withheld has a record that says that it was made.
    let log = server.stop().await.stderr;
    let told = records(&log, "/RotateSecret", &room.key.id);
    let ok = told.iter().filter(|(outcome, ..)| outcome == "ok").count();
    assert!(made <= ok && ok < usize::try_from(left.version).unwrap(), "{made} {ok} {}", left.version);
}

#[tokio::test]
async fn documents_in_the_queue_are_not_resolved_for_a_revoked_key() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("A", &"v".repeat(60_000)).await;
    // As many are computed at a time as there are processors.
    let costly: Vec<_> = (0..60).map(|_| "$ len(secrets.A + secrets.A)").collect();
    let document = crate::references::wire_map(serde_json::json!({ "costly": costly }));
    let request = ResolveReferencesRequest { document: Some(document), ..Default::default() };
    let mut queued = JoinSet::new();
    for _ in 0..48 {
        let (mut references, request) = (room.references(), request.clone());
        queued.spawn(async move { references.resolve_references(request).await.map(Response::into_inner) });
    }
    sent(&room).await;
    let revoked = revoke(&room).await.revision;
    let ended = queued.join_all().await;
    let replies = ended.iter().filter_map(|ended| ended.as_ref().ok());
    assert!(replies.clone().all(|reply| reply.revision < revoked), "{:?}", replies.collect::<Vec<_>>());
    let refusals: Vec<&Status> = ended.iter().filter_map(|ended| ended.as_ref().err()).collect();
    assert!(!refusals.is_empty(), "no document waited");
    assert!(refusals.iter().all(|status| reason_of(status) == "CREDENTIAL_INVALID"), "{refusals:?}");
    let (resolved, log) = (ended.len() - refusals.len(), server.stop().await.stderr);
    let told = records(&log, "/ResolveReferences", &room.key.id);
    assert!(told.iter().all(|(.., known)| *known), "{told:?}");
    assert!(told.iter().filter(|(outcome, ..)| outcome == "ok").count() >= resolved, "{told:?}");
}

#[tokio::test]
async fn a_change_whose_message_is_still_to_come_ends_with_its_key() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let (id, credential) = another_key(&room).await;
    let wire = Wire::to(&server).await;
    let begun = wire.bearer(&credential).begin("/strongroom.v1.SecretService/CreateSecret", vec![0]).await;
    wire.bearer(&server.root_key).call("/strongroom.v1.AccessService/WhoAmI", b"").await.unwrap();
    room.root.access().revoke_api_key(RevokeApiKeyRequest { id: id.clone() }).await.unwrap();
    let status =
        refused(begun.answered().await.map(Response::new), Code::Unauthenticated, "CREDENTIAL_INVALID");
    assert!(status.message().ends_with("The change may or may not have been made."), "{status:?}");
    let log = server.stop().await.stderr;
    let expected = [("UNAUTHENTICATED".to_owned(), "CREDENTIAL_INVALID".to_owned(), true)];
    assert_eq!(records(&log, "/CreateSecret", &id), expected);
}

/// Another key of the room: its id and its credential.
async fn another_key(room: &Room) -> (String, String) {
    let request = CreateApiKeyRequest {
        name: "another".into(),
        home_namespace: room.namespace.clone(),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    (made.api_key.unwrap().id, made.credential)
}

/// A key of its own, with a secret of so many bytes: the id and the credential.
async fn key(server: &Server, root: &Caller, size: usize) -> (String, String) {
    let home_namespace = uuid::Uuid::new_v4().to_string();
    let request = CreateApiKeyRequest { name: "slow".into(), home_namespace, ..Default::default() };
    let made = root.access().create_api_key(request).await.unwrap().into_inner();
    let caller = Caller::new(server, Credential::bearer(&made.credential)).await;
    caller.create("A", &"v".repeat(size)).await;
    (made.api_key.unwrap().id, made.credential)
}

/// The replies are made, recorded and under way, and their caller opens no window for them until its key is revoked.
#[tokio::test]
async fn a_reply_that_is_not_taken_ends_with_its_key() {
    let server = Launch::in_memory().limits("reply_time = '1h'").start();
    let root = Caller::root(&server).await;
    for (size, window) in [(30_000, 0), (30_000, 1), (256, 0), (256, 1), (256, 256)] {
        let (id, credential) = key(&server, &root, size).await;
        let wire = Wire::with_window(&server, window).await.bearer(&credential);
        let mut parked = Vec::new();
        for _ in 0..5 {
            let path = "/strongroom.v1.SecretService/GetSecret";
            let mut begun = wire.begin(path, framed(&get("A").encode_to_vec())).await;
            begun.body.send_data(Bytes::new(), true).unwrap();
            parked.push(begun.begun().await.unwrap());
        }
        root.access().revoke_api_key(RevokeApiKeyRequest { id }).await.unwrap();
        let mut came = 0;
        for mut reply in parked {
            let end = loop {
                match timeout(PATIENCE, reply.data()).await.expect("the server ends the reply") {
                    Some(Ok(data)) => came += data.len(),
                    Some(Err(end)) => break end,
                    None => panic!("the whole reply came"),
                }
            };
            assert_eq!(end.reason(), Some(h2::Reason::CANCEL), "{size} bytes through a window of {window}");
        }
        assert!(came <= 5 * window as usize, "{came} bytes through a window of {window}");
    }
}

//! Backups over the wire: complete, sealed, and made while others write. A restore happens whole or not at all.

use std::path::Path;

use prost::Message;
use strongroom::api::v1::{
    CreateBackupRequest, GetStatusRequest, RestoreBackupRequest, RestoreBackupResponse, RestorePhase,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response, Status};

use crate::caller::{Caller, Credential, Room, endpoint};
use crate::harness::{Launch, PATIENCE, Server};
use crate::raw::{Wire, framed};
use crate::refusal::{denied, refused};
use crate::requests::{MAX_VALUE, Value, binary, create, describe, pairs, rename};

#[tokio::test]
async fn a_backup_restores_everything_also_into_another_store() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let (_, team) = root.make_key("team", "team-a").await;
    for caller in [&root, &team] {
        caller.create("plain", "value").await;
        caller.create("rotated", "one").await;
        caller.rotate("rotated", "two").await;
        caller.create("old", "v").await;
        caller.update(rename("old", "new")).await;
        caller
            .create_with(strongroom::api::v1::CreateSecretRequest {
                value: binary(vec![7; MAX_VALUE]),
                ..create("large", "")
            })
            .await;
    }
    let (bytes, revision) = backup(&root).await.unwrap();
    let before = state(&[&root, &team]).await;

    root.delete("plain").await;
    team.rotate("rotated", "three").await;
    root.create("later", "v").await;
    let looked = restore(&root, &bytes, true).await.unwrap();
    assert_eq!((looked.phase(), looked.revision, looked.backup_revision), (RestorePhase::Done, 0, revision));
    assert_eq!(root.value("later").await, Value::text("v"));

    let done = restore(&root, &bytes, false).await.unwrap();
    assert_eq!(
        (done.phase(), done.secrets, done.namespaces, done.damaged_records),
        (RestorePhase::Done, 8, 2, 0)
    );
    assert!(done.revision > revision);
    assert_eq!(state(&[&root, &team]).await, before);
    root.create("later", "v").await;
    // The restored state is there after a kill, too.
    let root_key = server.root_key.clone();
    server.kill();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    assert_eq!(root.value("rotated").await, Value::text("two"));
    assert_eq!(root.names().await, ["large", "later", "new", "plain", "rotated"]);

    // Another server, with another engine and the same master key.
    let master_key = folder.path().join("master.key");
    let other =
        Launch::in_memory().argument("--master-key-file").argument(master_key.to_str().unwrap()).start();
    restore(&Caller::root(&other).await, &bytes, false).await.unwrap();
    let moved = Caller::new(&other, Credential::bearer(&root_key)).await;
    assert_eq!(moved.value("rotated").await, Value::text("two"));
    let gone = Caller::root(&other).await.secrets().get_secret(crate::requests::get("plain")).await;
    refused(gone, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn a_backup_shows_no_plaintext_and_an_upload_leaves_no_file() {
    const CANARY: &str = "cAnArY_x7Qp2";
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let secret = strongroom::api::v1::CreateSecretRequest {
        namespace: "canary-x7qp2".into(),
        description: CANARY.into(),
        metadata: pairs(&[(CANARY, CANARY)]),
        ..create(CANARY, CANARY)
    };
    root.create_with(secret).await;
    root.make_key(CANARY, "canary-x7qp2").await;
    let (bytes, _) = backup(&root).await.unwrap();
    for canary in [CANARY.as_bytes(), b"canary-x7qp2", server.root_key.as_bytes()] {
        assert!(!bytes.windows(canary.len()).any(|some| some == canary));
    }
    restore(&root, &bytes, false).await.unwrap();
    let expected = ["audit", "master.key", "root.key", "store", "store.marker", "strongroom.lock"];
    assert_eq!(names_in(folder.path()), expected);
}

#[tokio::test]
async fn a_backup_made_during_writes_has_every_change_acknowledged_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let (acknowledged, mut progress) = mpsc::unbounded_channel();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (root, acknowledged) = (root.clone(), acknowledged.clone());
        writers.spawn(async move {
            for n in 0.. {
                let name = format!("w{writer}_n{n}");
                root.create(&name, &format!("one of {name}")).await;
                root.rotate(&name, &format!("two of {name}")).await;
                if acknowledged.send(name).is_err() {
                    return;
                }
            }
        });
    }
    let mut before = Vec::new();
    while before.len() < 50 {
        before.push(progress.recv().await.unwrap());
    }
    let (bytes, _) = backup(&root).await.unwrap();
    drop(progress);
    while writers.join_next().await.is_some() {}
    restore(&root, &bytes, false).await.unwrap();
    for name in before {
        assert_eq!(root.value(&name).await, Value::text(format!("two of {name}")));
    }
    let status = root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.damaged_records, 0);
    for name in root.names().await {
        let secret = root.get(&name).await;
        let number = ["one", "two"][secret.version as usize - 1];
        assert_eq!(Value::of(&secret), Value::text(format!("{number} of {name}")));
    }
}

#[tokio::test]
async fn a_damaged_or_incomplete_backup_replaces_nothing() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    root.create("kept", "v").await;
    let (bytes, _) = backup(&root).await.unwrap();
    root.create("kept_too", "v").await;
    let mut altered = bytes.clone();
    altered[bytes.len() / 2] ^= 1;
    for (wrong, why) in [
        (&b""[..], "cut short"),
        (b"PK\x03\x04 something else", "not a backup"),
        (&bytes[..bytes.len() - 1], "cut short"),
        (&altered, "altered"),
    ] {
        let refusal = refused(restore_reply(&root, wrong).await, Code::InvalidArgument, "BACKUP_INVALID");
        assert!(refusal.message().contains(why), "{refusal:?}");
    }
    let (foreign, _) = backup(&Caller::root(&Server::alone()).await).await.unwrap();
    let refusal = refused(restore_reply(&root, &foreign).await, Code::InvalidArgument, "BACKUP_INVALID");
    assert!(refusal.message().contains("master key"), "{refusal:?}");

    // All bytes arrive, but the connection breaks before the upload ends: nothing is restored either.
    let (url, credential) = (server.url.clone(), Credential::bearer(&server.root_key));
    let broken = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let channel = endpoint(&url).connect().await.unwrap();
            let (sender, chunks) = mpsc::channel(1);
            let mut operator = Caller::over(channel, credential).operator();
            let replies = operator.restore_backup(ReceiverStream::new(chunks)).await.unwrap();
            sender.send(RestoreBackupRequest { chunk: bytes, ..Default::default() }).await.unwrap();
            (replies, sender)
        })
        // The runtime closes the connection as it is dropped, before the sender is.
    });
    drop(broken.join().unwrap());
    assert_eq!(root.names().await, ["kept", "kept_too"]);
    server.stop().await;
}

#[tokio::test]
async fn only_an_operator_makes_or_restores_backups() {
    let room = Room::open().await;
    let made = room.operator().create_backup(CreateBackupRequest {}).await;
    denied(made);
    let chunks = tokio_stream::iter([RestoreBackupRequest::default()]);
    denied(room.operator().restore_backup(chunks).await);
}

#[tokio::test]
async fn the_audit_log_has_the_begin_and_the_end_of_backups_and_restores() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let (bytes, _) = backup(&root).await.unwrap();
    restore(&root, &bytes, false).await.unwrap();
    refused(restore_reply(&root, &bytes[1..]).await, Code::InvalidArgument, "BACKUP_INVALID");
    let log = server.stop().await.stderr;
    let subjects: Vec<_> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["target"] == "strongroom::audit")
        .map(|event| {
            let fields = &event["fields"];
            let method = fields["rpc"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            let told = fields["subject"].as_str().or(fields["reason"].as_str()).unwrap_or_default();
            (method, told.split([' ', ',']).next().unwrap().to_owned())
        })
        .collect();
    let event = |method: &str, told: &str| (method.to_owned(), told.to_owned());
    let expected = [
        event("CreateBackup", "begun"),
        event("CreateBackup", "whole"),
        event("RestoreBackup", "begun"),
        event("RestoreBackup", "replaced"),
        event("RestoreBackup", "begun"),
        event("RestoreBackup", "BACKUP_INVALID"),
    ];
    assert_eq!(subjects, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_during_a_restore_has_the_old_state_or_the_whole_backup() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let mut creating = JoinSet::new();
    for n in 0..200 {
        let root = root.clone();
        creating.spawn(async move { root.create(&format!("s{n}"), &"v".repeat(20_000)).await });
    }
    while creating.join_next().await.is_some() {}
    let (bytes, _) = backup(&root).await.unwrap();
    root.update(describe("s7", "not in the backup")).await;

    let mut running = Some(server);
    // Each kill comes at the n-th reply: while the server verifies, while it builds, and about when it is done.
    let (mut old, mut new) = (0, 0);
    for replies_until_the_kill in 0..12 {
        let server = running.take().unwrap();
        let root = Caller::root(&server).await;
        root.update(describe("s7", "not in the backup")).await;
        let mut replies = root.operator().restore_backup(upload(&bytes, false)).await.unwrap().into_inner();
        for _ in 0..replies_until_the_kill {
            if replies.next().await.is_none() {
                break;
            }
        }
        server.kill();
        let server = Launch::durable(folder.path()).start();
        let root = Caller::root(&server).await;
        assert_eq!(root.names().await.len(), 200);
        match root.get("s7").await.description.as_str() {
            "" => new += 1,
            "not in the backup" => old += 1,
            other => panic!("{other}"),
        }
        let status = root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
        assert_eq!((status.secrets, status.damaged_records), (200, 0));
        running = Some(server);
    }
    assert!(old > 0 && new > 0, "{old} kills came before the restore, {new} after it");
}

/// The bytes of a backup, and its revision.
#[tokio::test]
async fn a_restore_that_is_given_up_after_its_last_byte_replaces_nothing() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let (bytes, _) = backup(&root).await.unwrap();
    root.create("later", "v").await;
    let chunk = RestoreBackupRequest { chunk: bytes.clone(), ..Default::default() };
    let wire = Wire::as_root(&server).await;
    let path = "/strongroom.v1.OperatorService/RestoreBackup";
    let mut begun = wire.begin(path, framed(&chunk.encode_to_vec())).await;
    begun.headers().await;
    recorded(&server, 1).await;
    begun.body.send_reset(h2::Reason::CANCEL);
    recorded(&server, 2).await;
    assert_eq!(root.value("later").await, Value::text("v"));
}

/// Waits until the audit has this many records of restores: one at the beginning and one at the end of each.
async fn recorded(server: &Server, records: usize) {
    let recorded = async {
        while server.logged().matches("OperatorService/RestoreBackup").count() < records {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, recorded).await.expect("the restore is recorded");
}

pub async fn backup(caller: &Caller) -> Result<(Vec<u8>, u64), Status> {
    let mut replies = caller.operator().create_backup(CreateBackupRequest {}).await?.into_inner();
    let (mut bytes, mut revision) = (Vec::new(), 0);
    while let Some(reply) = replies.next().await {
        let reply = reply?;
        bytes.extend(reply.chunk);
        revision = reply.revision;
    }
    assert!(revision > 0, "the last reply has the revision of the backup");
    Ok((bytes, revision))
}

pub async fn restore(
    caller: &Caller,
    bytes: &[u8],
    verify_only: bool,
) -> Result<RestoreBackupResponse, Status> {
    let mut replies = caller.operator().restore_backup(upload(bytes, verify_only)).await?.into_inner();
    let mut last = RestoreBackupResponse::default();
    while let Some(reply) = replies.next().await {
        last = reply?;
    }
    Ok(last)
}

async fn restore_reply(caller: &Caller, bytes: &[u8]) -> Result<Response<RestoreBackupResponse>, Status> {
    restore(caller, bytes, false).await.map(Response::new)
}

fn upload(bytes: &[u8], verify_only: bool) -> impl tokio_stream::Stream<Item = RestoreBackupRequest> + use<> {
    let chunks: Vec<_> = bytes
        .chunks(100_000)
        .map(|chunk| RestoreBackupRequest { chunk: chunk.to_vec(), verify_only, ..Default::default() })
        .collect();
    tokio_stream::iter(chunks)
}

/// Everything that these callers see, except revisions: a restore assigns new ones.
async fn state(callers: &[&Caller]) -> Vec<(strongroom::api::v1::Secret, Value)> {
    let mut state = Vec::new();
    for caller in callers {
        for name in caller.names().await {
            let mut secret = caller.get(&name).await;
            let value = Value::of(&secret);
            (secret.revision, secret.etag, secret.value) = (0, String::new(), None);
            state.push((secret, value));
        }
    }
    state
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

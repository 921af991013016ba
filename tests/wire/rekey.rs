//! Rekeying: the master key and the keys of namespaces are replaced. Other callers notice nothing, and no rekey is ever left
//! half-made.

mod kills;
mod load;
mod replicas;
mod sources;

use std::fs;
use std::path::Path;
use std::time::Instant;

use strongroom::api::v1::{
    GetMasterKeyStatusRequest, GetMasterKeyStatusResponse, RotateMasterKeyRequest, RotateMasterKeyResponse,
    RotateNamespaceKeysRequest, RotateNamespaceKeysResponse, RotationPhase,
};
use tokio_stream::StreamExt;
use tonic::{Code, Response, Status, Streaming};

use crate::backup::{backup, restore};
use crate::caller::{Caller, Room};
use crate::harness::{Launch, PATIENCE, Server};
use crate::master_key::{From, Site, generated};
use crate::refusal::{denied, invalid, refused};
use crate::requests::Value;

/// Replaces the master key, and returns the last message.
pub async fn rotate_master_key(caller: &Caller) -> Result<RotateMasterKeyResponse, Status> {
    let mut replies = caller.operator().rotate_master_key(RotateMasterKeyRequest {}).await?.into_inner();
    let mut last = RotateMasterKeyResponse::default();
    while let Some(reply) = replies.next().await {
        assert_eq!(last.phase, i32::from(last.seen_records > 0), "no message comes after the last one");
        last = reply?;
        assert!(last.seen_records <= last.total_records, "{last:?}");
    }
    assert_eq!(last.phase(), RotationPhase::Done);
    Ok(last)
}

/// Replaces the keys of namespaces, and returns the last message for each namespace.
pub async fn rotate_namespaces(
    caller: &Caller,
    request: RotateNamespaceKeysRequest,
) -> Result<Vec<RotateNamespaceKeysResponse>, Status> {
    let mut replies = caller.operator().rotate_namespace_keys(request).await?.into_inner();
    let (mut done, mut last) = (Vec::new(), RotationPhase::Done);
    while let Some(reply) = replies.next().await {
        let reply = reply?;
        assert!(reply.seen_records <= reply.total_records, "{reply:?}");
        last = reply.phase();
        if last == RotationPhase::Done {
            done.push(reply);
        }
    }
    assert_eq!(last, RotationPhase::Done);
    Ok(done)
}

pub fn of(namespace: &str) -> RotateNamespaceKeysRequest {
    RotateNamespaceKeysRequest { namespace: namespace.into(), all_namespaces: false }
}

pub fn of_all() -> RotateNamespaceKeysRequest {
    RotateNamespaceKeysRequest { all_namespaces: true, ..Default::default() }
}

pub async fn key_status(caller: &Caller) -> GetMasterKeyStatusResponse {
    let reply = caller.operator().get_master_key_status(GetMasterKeyStatusRequest {}).await;
    reply.unwrap_or_else(|refusal| panic!("the status is told: {refusal:?}")).into_inner()
}

/// Waits within a bound until no rekey is running.
pub async fn settled(caller: &Caller) -> GetMasterKeyStatusResponse {
    let begun = Instant::now();
    loop {
        let status = key_status(caller).await;
        let whole = status.generations.len() == 1 && status.opened_by == [status.master_key_id.clone()];
        if whole && status.rotating_namespaces.is_empty() {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "a rekey does not end: {status:?}");
        tokio::task::yield_now().await;
    }
}

/// The master keys in a file, the one in use first.
pub fn keys_in(file: &Path) -> Vec<String> {
    let content = fs::read_to_string(file).unwrap();
    content.lines().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn a_new_master_key_stands_before_the_old_one_which_old_backups_need() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("data/master.key"));
    let server = Launch::durable(&data).start();
    let root = Caller::root(&server).await;
    root.create("A", "before").await;
    let (made, _) = backup(&root).await.unwrap();
    let [before] = keys_in(&file).try_into().unwrap();
    let old = key_status(&root).await;
    assert_eq!(old.source, format!("the master key file {}", file.display()));
    assert_eq!(
        (old.opened_by.as_slice(), old.generations.as_slice()),
        ([old.master_key_id.clone()].as_slice(), [1].as_slice())
    );

    let rotated = rotate_master_key(&root).await.unwrap();
    let status = key_status(&root).await;
    assert_eq!((rotated.generation, rotated.damaged_records, rotated.source), (2, 0, old.source));
    assert_eq!(
        (&status.master_key_id, status.generations.as_slice()),
        (&rotated.master_key_id, [2].as_slice())
    );
    assert_ne!(status.master_key_id, old.master_key_id);
    let [now, behind] = keys_in(&file).try_into().unwrap();
    assert!(now != before && behind == before);
    restore(&root, &made, true).await.unwrap();
    root.rotate("A", "after").await;
    let (made_since, _) = backup(&root).await.unwrap();
    server.stop().await;

    let server = Launch::durable(&data).start();
    let root = Caller::root(&server).await;
    assert_eq!(root.value("A").await, Value::text("after"));
    assert_eq!(key_status(&root).await.master_key_id, status.master_key_id);
    restore(&root, &made, false).await.unwrap();
    assert_eq!(root.value("A").await, Value::text("before"));
    settled(&root).await;
    server.stop().await;

    // Without the old key the store opens, although it was restored from that backup. The backup itself no longer opens.
    fs::write(&file, &now).unwrap();
    let server = Launch::durable(&data).start();
    let root = Caller::root(&server).await;
    assert_eq!(root.value("A").await, Value::text("before"));
    let status = refused(
        restore(&root, &made, false).await.map(Response::new),
        Code::InvalidArgument,
        "BACKUP_INVALID",
    );
    assert!(status.message().contains("master key"), "{status:?}");
    restore(&root, &made_since, false).await.unwrap();
    assert_eq!(root.value("A").await, Value::text("after"));
    server.stop().await;

    fs::write(&file, &before).unwrap();
    let said = Launch::durable(&data).refused().all();
    assert!(said.contains("master.key") && said.contains("nothing was changed"), "{said}");
}

#[tokio::test]
async fn only_an_operator_may_rekey_or_see_the_key_status() {
    let room = Room::open().await;
    room.create("A", "v").await;
    denied(room.operator().rotate_master_key(RotateMasterKeyRequest {}).await);
    denied(room.operator().get_master_key_status(GetMasterKeyStatusRequest {}).await);
    // The caller may not rekey even its own namespace, and is not told which namespaces exist.
    for request in [of(&room.namespace), of("nowhere"), of("No"), of_all(), of("")] {
        denied(room.operator().rotate_namespace_keys(request).await);
    }
}

#[tokio::test]
async fn the_lines_that_the_log_has_of_a_rekey_name_its_request() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    root.create("A", "v").await;
    rotate_namespaces(&root, of("default")).await.unwrap();
    server.wait_for_logged(1, "a key was replaced");
    let log = server.logged();
    let line = log.lines().find(|line| line.contains("a key was replaced")).unwrap();
    assert!(line.contains("\"request_id\":\""), "{line}");
}

#[tokio::test]
async fn a_request_names_one_namespace_or_asks_for_all() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let mut operator = root.operator();
    invalid(operator.rotate_namespace_keys(of("")).await, &["namespace"]);
    invalid(operator.rotate_namespace_keys(of("No")).await, &["namespace"]);
    let both = RotateNamespaceKeysRequest { all_namespaces: true, ..of("default") };
    invalid(operator.rotate_namespace_keys(both).await, &["all_namespaces"]);
    assert_eq!(rotate_namespaces(&root, of_all()).await.unwrap(), [], "there is none yet");

    let (_, team) = root.make_key("team", "team-a").await;
    for caller in [&root, &team] {
        caller.create("A", "v").await;
        caller.rotate("A", "w").await;
    }
    let missing = rotate_namespaces(&root, of("nowhere")).await;
    refused(missing.map(Response::new), Code::NotFound, "NAMESPACE_NOT_FOUND");
    let outcome = |namespace: &str, generation| RotateNamespaceKeysResponse {
        phase: RotationPhase::Done.into(),
        namespace: namespace.into(),
        seen_records: 4, // a secret, its name, and two versions
        total_records: 4,
        generation,
        damaged_records: 0,
    };
    assert_eq!(rotate_namespaces(&root, of("team-a")).await.unwrap(), [outcome("team-a", 2)]);
    let all = rotate_namespaces(&root, of_all()).await.unwrap();
    assert_eq!(all, [outcome("default", 2), outcome("team-a", 3)]);
    for caller in [&root, &team] {
        assert_eq!(
            (caller.version("A", 1).await, caller.value("A").await),
            (Value::text("v"), Value::text("w"))
        );
    }
    server.stop().await;
}

/// A server whose rekeys wait as long as a file exists, because the command that gives its master key waits for that.
struct Held {
    site: Site,
    server: Server,
    old: String,
}

impl Held {
    fn start() -> Self {
        let (site, old) = (Site::new(), generated());
        let command = format!(
            "while [ -e '{}' ]; do sleep 0.01; done; cat '{}'",
            site.path("hold"),
            site.file("key", &old)
        );
        let server = site.launch(&From::command(command)).start();
        site.file("hold", "");
        Self { site, server, old }
    }

    fn let_go(&self) {
        fs::remove_file(self.site.path("hold")).unwrap();
    }
}

#[tokio::test]
async fn one_rekey_runs_at_a_time_and_continues_without_its_caller() {
    let held = Held::start();
    let root = Caller::root(&held.server).await;
    root.create("A", "v").await;
    let old = key_status(&root).await.master_key_id;
    let begun: Streaming<_> =
        root.operator().rotate_master_key(RotateMasterKeyRequest {}).await.unwrap().into_inner();
    let busy = root.operator().rotate_master_key(RotateMasterKeyRequest {}).await;
    refused(busy, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
    let busy = root.operator().rotate_namespace_keys(of("default")).await;
    let status = refused(busy, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
    assert!(status.message().contains("Keys are being rotated"), "{status:?}");
    // Other changes do not wait for it.
    root.rotate("A", "w").await;

    drop(begun);
    held.site.file("key", &format!("{}{}", generated(), held.old));
    held.let_go();
    let begun = Instant::now();
    while key_status(&root).await.master_key_id == old {
        assert!(begun.elapsed() < PATIENCE, "the rekey ended with its caller");
    }
    settled(&root).await;
    rotate_namespaces_once_free(&root).await;
    assert_eq!(root.value("A").await, Value::text("w"));
    held.server.stop().await;
}

/// Rekeys all namespaces once no other rekey is running.
async fn rotate_namespaces_once_free(root: &Caller) {
    let begun = Instant::now();
    while let Err(status) = rotate_namespaces(root, of_all()).await {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(begun.elapsed() < PATIENCE, "the other rekey does not end");
    }
}

#[tokio::test]
async fn the_audit_log_has_the_begin_and_the_end_of_each_rekey() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    root.create("A", "v").await;
    root.make_key("team", "team-a").await.1.create("A", "v").await;
    let rotated = rotate_master_key(&root).await.unwrap();
    rotate_namespaces(&root, of("default")).await.unwrap();
    rotate_namespaces(&root, of_all()).await.unwrap();
    rotate_namespaces(&root, of("nowhere")).await.unwrap_err();
    let log = server.stop().await.stderr;
    let told: Vec<_> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["target"] == "strongroom::audit")
        .filter_map(|event| {
            let fields = &event["fields"];
            let method = fields["rpc"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            let told = fields["subject"].as_str().or(fields["reason"].as_str()).unwrap_or_default();
            method.starts_with("RotateM").then(|| told.to_owned()).or_else(|| {
                let of = fields["namespace"].as_str().unwrap_or_default();
                method.starts_with("RotateN").then(|| format!("{told} {of}").trim().to_owned())
            })
        })
        .collect();
    let whole = format!("whole, generation 2, master key {}", rotated.master_key_id);
    let expected = [
        "begun",
        whole.as_str(),
        "begun default",
        "whole, generation 2",
        "begun",
        "all of 2 namespaces",
        "begun nowhere",
        "NAMESPACE_NOT_FOUND",
    ];
    assert_eq!(told, expected);
}

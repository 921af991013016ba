//! No change without a record, whenever the server is killed.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use strongroom::api::v1::AuditFilter;
use tokio::task::JoinSet;
use tonic::Code;

use super::{folder, json, records, settled};
use crate::caller::Caller;
use crate::harness::{Launch, Server};
use crate::refusal::refused;
use crate::requests::{create, delete, rotate};

/// The requests that succeeded, by method and name, each with the number of its records.
async fn succeeded(server: &Server) -> BTreeMap<(String, String), usize> {
    let filter = AuditFilter { outcome: "ok".into(), ..Default::default() };
    let mut counts = BTreeMap::new();
    for record in records(&Caller::root(server).await, filter).await {
        let line = json(&record);
        let method = line["rpc"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let name = line["name"].as_str().unwrap_or_default().to_owned();
        *counts.entry((method, name)).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_change_whose_record_could_not_be_written_has_one_after_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::durable(data.path()).start();
    let root = Caller::root(&server).await;
    root.create("A", "v").await;
    settled(&root).await; // so that the next copy can take the place of this one
    let log = folder(&server);
    let (active, aside) = (log.join(format!("{:020}.jsonl", 0)), log.join("aside"));
    fs::rename(&active, &aside).unwrap();
    // The changes are made: only their records cannot be written.
    refused(root.secrets().create_secret(create("B", "v")).await, Code::Unavailable, "AUDIT_UNAVAILABLE");
    refused(root.secrets().rotate_secret(rotate("A", "w")).await, Code::Unavailable, "AUDIT_UNAVAILABLE");
    refused(root.secrets().delete_secret(delete("A")).await, Code::Unavailable, "AUDIT_UNAVAILABLE");
    server.kill();
    fs::rename(&aside, &active).unwrap();

    for _ in 0..2 {
        let server = Launch::durable(data.path()).start();
        assert_eq!(Caller::root(&server).await.names().await, ["B"]);
        let counts = succeeded(&server).await;
        let count = |method: &str, name: &str| counts.get(&(method.into(), name.into())).copied();
        for (method, name) in
            [("CreateSecret", "A"), ("CreateSecret", "B"), ("RotateSecret", "A"), ("DeleteSecret", "A")]
        {
            assert_eq!(count(method, name), Some(1), "{method} {name}");
        }
        server.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_has_exactly_one_record_however_often_the_server_is_killed() {
    let data = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let server = Launch::durable(data.path()).start();
        let root = Caller::root(&server).await;
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let (killed, mut kill) = tokio::sync::mpsc::channel(1);
        let mut writers = JoinSet::new();
        for writer in 0..16 {
            let (root, acknowledged, killed) = (root.clone(), acknowledged.clone(), killed.clone());
            writers.spawn(async move {
                for number in 0.. {
                    let name = format!("n{round}_{writer}_{number}");
                    if root.secrets().create_secret(create(&name, "v")).await.is_err() {
                        return;
                    }
                    if acknowledged.fetch_add(1, Ordering::Relaxed) == 60 + 37 * round {
                        killed.send(()).await.unwrap();
                    }
                }
            });
        }
        kill.recv().await.unwrap();
        server.kill();
        writers.join_all().await;
    }
    let server = Launch::durable(data.path()).start();
    let names = Caller::root(&server).await.names().await;
    assert!(names.len() > 240, "{}", names.len());
    let counts = succeeded(&server).await;
    for name in names {
        assert_eq!(counts.get(&("CreateSecret".into(), name.clone())), Some(&1), "{name}");
    }
    server.stop().await;
}

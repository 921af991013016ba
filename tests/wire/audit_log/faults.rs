//! What something else does to the files of the log is noticed while the server runs and when it starts.

use std::fs;

use strongroom::api::v1::{AuditLogStatus, GetStatusRequest};
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use super::{folder, settled};
use crate::caller::{Caller, Room};
use crate::disk::Health;
use crate::disk::small::limit_files;
use crate::harness::{Launch, PATIENCE, Server};
use crate::refusal::refused;
use crate::requests::get;

/// Files of a few records each.
const SMALL: &str = "[audit]\nfile_size = '4 KiB'\n";
const AUDIT: &str = "strongroom.v1.AuditService";

async fn state(root: &Caller) -> AuditLogStatus {
    root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner().audit_log.unwrap()
}

/// Waits until the state of the log is as wanted.
async fn becomes(root: &Caller, wanted: impl Fn(&AuditLogStatus) -> bool) -> AuditLogStatus {
    let become_it = async {
        loop {
            let state = state(root).await;
            if wanted(&state) {
                return state;
            }
        }
    };
    timeout(PATIENCE, become_it).await.expect("the state of the log changes")
}

/// The files of records, the oldest first.
fn files(server: &Server) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder(server)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|kind| kind == "jsonl")).collect();
    files.sort();
    files
}

/// Reads until the log has several files.
async fn fill(root: &Caller, server: &Server) {
    root.create("A", "v").await;
    let several = async {
        while files(server).len() < 3 {
            root.get("A").await;
        }
    };
    timeout(PATIENCE, several).await.expect("the log begins further files");
    settled(root).await;
}

#[tokio::test]
async fn a_value_is_not_sent_while_the_log_cannot_be_written_and_again_once_it_can() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("A", "v").await;
    let mut health = Health::watch(&server).await;
    health.becomes(ServingStatus::Serving).await;
    let log = folder(&server);
    let aside = log.with_extension("aside");
    for _ in 0..2 {
        fs::rename(&log, &aside).unwrap();
        let status =
            refused(room.secrets().get_secret(get("A")).await, Code::Unavailable, "AUDIT_UNAVAILABLE");
        assert!(status.get_details_retry_info().is_some());
        health.becomes(ServingStatus::NotServing).await;
        fs::rename(&aside, &log).unwrap();
        health.becomes(ServingStatus::Serving).await;
        room.get("A").await;
    }
    let said = server.logged();
    assert!(
        said.contains("the audit log cannot be written") && said.contains("can be written again"),
        "{said}"
    );
}

/// A limit on the size of files stands for a full disk.
#[tokio::test]
async fn a_disk_that_takes_no_more_is_waited_for() {
    let data = tempfile::tempdir().unwrap();
    // The kernel sends a signal with this error, which would end the process.
    let launch = Launch::durable(data.path()).through(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    let server = launch.start();
    let root = Caller::root(&server).await;
    root.create("A", "v").await;
    let mut health = Health::watch(&server).await;
    health.becomes(ServingStatus::Serving).await;
    limit_files(&server, "1000");
    let mut status = root.secrets().get_secret(get("A")).await;
    for _ in 0..10 {
        if status.is_err() {
            break;
        }
        status = root.secrets().get_secret(get("A")).await;
    }
    refused(status, Code::Unavailable, "AUDIT_UNAVAILABLE");
    health.becomes(ServingStatus::NotServing).await;
    limit_files(&server, "unlimited");
    health.becomes(ServingStatus::Serving).await;
    root.get("A").await;
    server.stop().await;
    let server = Launch::durable(data.path()).start();
    server.stop().await;
}

#[tokio::test]
async fn an_altered_file_is_named_while_the_server_runs_and_requests_are_still_served() {
    let server = Launch::in_memory().configured(SMALL).start();
    let root = Caller::root(&server).await;
    let (mut health, mut audit) = (Health::watch(&server).await, Health::of(&server, AUDIT).await);
    audit.becomes(ServingStatus::Serving).await;
    fill(&root, &server).await;
    let file = files(&server).remove(0);
    let before = fs::read(&file).unwrap();
    let mut altered = before.clone();
    altered[40] ^= 1;
    fs::write(&file, &altered).unwrap();
    let state = becomes(&root, |state| !state.breach.is_empty()).await;
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(
        state.breach.contains(name) && state.breach.contains("line 1: ") && state.failure.is_empty(),
        "{state:?}"
    );
    audit.becomes(ServingStatus::NotServing).await;
    health.becomes(ServingStatus::Serving).await;
    root.get("A").await;
    assert!(server.logged().contains("the audit log is not as it was written"));
    fs::write(&file, &before).unwrap();
    becomes(&root, |state| state.breach.is_empty()).await;
    audit.becomes(ServingStatus::Serving).await;
    fs::remove_file(&file).unwrap();
    let state = becomes(&root, |state| !state.breach.is_empty()).await;
    assert!(state.breach.contains(name) && state.breach.contains("missing"), "{state:?}");
}

#[tokio::test]
async fn a_broken_log_is_refused_at_the_start_and_a_new_one_records_the_break() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::durable(data.path()).start();
    let root = Caller::root(&server).await;
    root.create("A", "v").await;
    settled(&root).await;
    let (log, file) = (folder(&server), files(&server).remove(0));
    server.stop().await;
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before.replacen("CreateSecret", "DeleteSecret", 1)).unwrap();

    let said = Launch::durable(data.path()).refused().all();
    assert!(said.contains("line 2: ") && said.contains("--begin-new-audit-log"), "{said}");
    assert!(fs::read_to_string(&file).unwrap().contains("DeleteSecret"), "nothing was changed");
    let server = Launch::durable(data.path()).argument("--begin-new-audit-log").start();
    let first = fs::read_to_string(&file).unwrap();
    let line: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(line["event"], "log_begun");
    assert!(line["detail"].as_str().unwrap().contains("line 2: "), "{line}");
    assert!(log.with_extension("1").join(file.file_name().unwrap()).exists(), "the broken log is kept");
    Caller::root(&server).await.get("A").await;
    server.stop().await;
    Launch::durable(data.path()).start().stop().await;
}

#[tokio::test]
async fn an_older_copy_of_the_folder_is_refused_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::durable(data.path()).start();
    Caller::root(&server).await.create("A", "v").await;
    let log = folder(&server);
    server.stop().await;
    let copy = log.with_extension("copy");
    copy_folder(&log, &copy);
    let server = Launch::durable(data.path()).start();
    Caller::root(&server).await.create("B", "v").await;
    server.stop().await;
    let newest = log.with_extension("newest");
    fs::rename(&log, &newest).unwrap();

    fs::rename(&copy, &log).unwrap();
    let said = Launch::durable(data.path()).refused().all();
    assert!(said.contains("an older copy was put back") && said.contains("--begin-new-audit-log"), "{said}");
    fs::remove_dir_all(&log).unwrap();
    let said = Launch::durable(data.path()).refused().all();
    assert!(said.contains("the store knows an audit log"), "{said}");
    assert!(!log.exists(), "the folder can be put back");
    fs::rename(&newest, &log).unwrap();
    Launch::durable(data.path()).start().stop().await;
    // Who knows why the folder is gone can begin a new log.
    fs::remove_dir_all(&log).unwrap();
    Launch::durable(data.path()).argument("--begin-new-audit-log").start().stop().await;
    Launch::durable(data.path()).start().stop().await;
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

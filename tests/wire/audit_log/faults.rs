//! What something else does to the files of the log is noticed while the server runs and when it starts.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use strongroom::api::v1::{AuditLogStatus, GetStatusRequest};
use tempfile::TempDir;
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
fn files(server: &Server) -> Vec<PathBuf> {
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
}

/// The log of a server that was stopped, with an older copy of it.
struct Stopped {
    data: TempDir,
    log: PathBuf,
    older: PathBuf,
}

impl Stopped {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Launch::durable(data.path()).start();
        Caller::root(&server).await.create("A", "v").await;
        let log = folder(&server);
        server.stop().await;
        let older = log.with_extension("older");
        copy_folder(&log, &older);
        let server = Launch::durable(data.path()).start();
        let root = Caller::root(&server).await;
        root.create("B", "v").await;
        root.get("B").await;
        server.stop().await;
        Self { data, log, older }
    }

    fn launch(&self) -> Launch {
        Launch::durable(self.data.path())
    }

    /// Asserts that a new log begins where that is asked for, that its first record says what was found, and that it goes on.
    async fn begins_new_log(&self, found: &str) {
        let said = self.launch().refused().all();
        assert!(said.contains("--begin-new-audit-log"), "{said}");
        self.launch().argument("--begin-new-audit-log").start().stop().await;
        let first = fs::read_to_string(self.log.join("00000000000000000000.jsonl")).unwrap();
        let line: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
        assert_eq!(line["event"], "log_begun");
        assert!(line["detail"].as_str().unwrap().contains(found), "{line}");
        let server = self.launch().start();
        Caller::root(&server).await.get("B").await;
        server.stop().await;
        assert!(!self.log.with_extension("2").exists(), "the new log is not broken");
        // The flag does nothing where the log is whole.
        self.launch().argument("--begin-new-audit-log").start().stop().await;
        assert!(!self.log.with_extension("2").exists(), "the new log is not broken");
    }

    /// Asserts that the earlier log is kept as it was.
    fn keeps(&self, before: &Files) {
        assert_eq!(&files_of(&self.log.with_extension("1")), before);
    }
}

type Files = BTreeMap<std::ffi::OsString, Vec<u8>>;

fn files_of(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
}

#[tokio::test]
async fn a_new_log_begins_in_place_of_an_older_copy() {
    let stopped = Stopped::new().await;
    fs::remove_dir_all(&stopped.log).unwrap();
    copy_folder(&stopped.older, &stopped.log);
    let before = files_of(&stopped.log);
    stopped.begins_new_log("an older copy was put back").await;
    stopped.keeps(&before);
}

#[tokio::test]
async fn a_new_log_begins_in_place_of_one_without_its_key() {
    let stopped = Stopped::new().await;
    fs::remove_file(stopped.log.join("log.key")).unwrap();
    let before = files_of(&stopped.log);
    stopped.begins_new_log("its key is gone").await;
    stopped.keeps(&before);
}

#[tokio::test]
async fn a_new_log_begins_in_place_of_one_that_was_written_again_and_nothing_is_signed() {
    let stopped = Stopped::new().await;
    for file in ["checkpoint", "hashes-0", "hashes-1", "hashes-2", "hashes-3", "hashes-4"] {
        fs::remove_file(stopped.log.join(file)).unwrap();
    }
    let records = stopped.log.join("00000000000000000000.jsonl");
    let before = fs::read_to_string(&records).unwrap();
    let altered = before.replacen("CreateSecret", "DeleteSecret", 1);
    fs::write(&records, &altered).unwrap();
    stopped.begins_new_log("the store knows another tree").await;
    let kept = stopped.log.with_extension("1");
    assert_eq!(fs::read_to_string(kept.join("00000000000000000000.jsonl")).unwrap(), altered);
    assert!(!kept.join("checkpoint").exists(), "altered records have no checkpoint");
}

#[tokio::test]
async fn a_new_log_begins_in_place_of_one_that_is_gone_or_is_that_of_another_server() {
    const FOUND: &str = "The store knows an audit log";
    let stopped = Stopped::new().await;
    fs::remove_dir_all(&stopped.log).unwrap();
    stopped.begins_new_log(FOUND).await;
    assert!(!stopped.log.with_extension("1").exists(), "there was nothing to keep");

    let (stopped, other) = (Stopped::new().await, Stopped::new().await);
    fs::remove_dir_all(&stopped.log).unwrap();
    copy_folder(&other.log, &stopped.log);
    let before = files_of(&stopped.log);
    stopped.begins_new_log(FOUND).await;
    stopped.keeps(&before);
}

/// A server that was killed before it had signed anything starts, and signs.
#[tokio::test]
async fn a_log_without_a_checkpoint_is_served_where_the_store_knows_its_records() {
    let stopped = Stopped::new().await;
    fs::remove_file(stopped.log.join("checkpoint")).unwrap();
    stopped.launch().argument("--begin-new-audit-log").start().stop().await;
    assert!(!stopped.log.with_extension("1").exists(), "the log is not broken");
    let records = fs::read_to_string(stopped.log.join("00000000000000000000.jsonl")).unwrap();
    assert!(records.contains("unsigned_records") && stopped.log.join("checkpoint").exists(), "{records}");
}

#[tokio::test]
async fn a_file_that_the_server_may_not_read_is_no_reason_for_a_new_log() {
    if !rustix::process::getuid().is_root() {
        return refuses_unreadable(&Stopped::new().await, |launch| launch);
    }
    // Root may read every file, unless it gives this up.
    let stopped = Stopped::new().await;
    refuses_unreadable(&stopped, |launch| {
        launch.through(&["setpriv", "--bounding-set=-dac_override,-dac_read_search"])
    });
}

#[track_caller]
fn refuses_unreadable(stopped: &Stopped, launched: impl Fn(Launch) -> Launch) {
    let mode = |mode| Permissions::from_mode(mode);
    for file in ["log.key", "checkpoint", "00000000000000000000.jsonl"] {
        let path = stopped.log.join(file);
        fs::set_permissions(&path, mode(0)).unwrap();
        for argument in ["--begin-new-audit-log", "--accept-altered-store"] {
            let said = launched(stopped.launch().argument(argument)).refused().all();
            assert!(said.contains(file) && said.contains("must belong to the user"), "{said}");
            assert!(!said.contains("start once with --begin-new-audit-log"), "{said}");
        }
        fs::set_permissions(&path, mode(0o600)).unwrap();
    }
    assert!(!stopped.log.with_extension("1").exists(), "the log stays where it is");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

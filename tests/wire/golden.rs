//! Folders and backups that earlier builds wrote must open for ever. `tests/golden` has those of each format. None of them is
//! ever written again.

use std::path::{Path, PathBuf};
use std::process::Command;

use strongroom::api::v1::{
    CreateApiKeyRequest, CreateBackupRequest, CreateSecretRequest, GetStatusRequest, RestoreBackupRequest,
    VersionState,
};
use tokio_stream::StreamExt;

use crate::caller::{Caller, Credential};
use crate::harness::{Launch, Server};
use crate::rekey::{of_all, rotate_master_key, rotate_namespaces};
use crate::requests::{MAX_VALUE, Value, binary, create, describe, nanos, pairs, rename};

#[tokio::test]
async fn a_folder_of_format_1_opens_with_everything_in_it() {
    let folder = unpacked("format-1");
    let server = Launch::durable(&folder.path().join("data")).start();
    let root = Caller::root(&server).await;
    holds_everything(&root, folder.path(), (12, 2)).await;
    // From then on it is a folder like any other.
    root.create("next", "v").await;
    root.rotate("rotated", "three").await;
    root.disable("rotated", 1).await;
    server.kill();
    let server = Launch::durable(&folder.path().join("data")).start();
    let root = Caller::root(&server).await;
    assert_eq!(root.version("rotated", 2).await, Value::text("two"));
    let versions = root.versions("rotated").await;
    let states: Vec<_> = versions.iter().map(|version| (version.number, version.state())).collect();
    let (enabled, disabled) = (VersionState::Enabled, VersionState::Disabled);
    assert_eq!(states, [(3, enabled), (2, enabled), (1, disabled)]);
    assert!(versions.iter().all(|version| version.created_at.is_some()));
    assert_eq!(root.destroy("rotated", 1).await.receipt.unwrap().data_key_sha256.len(), 64);
    assert_eq!(
        (root.value("next").await, root.value("rotated").await),
        (Value::text("v"), Value::text("three"))
    );
    server.stop().await;
}

/// This folder has keys that were rekeyed, and versions in every state.
#[tokio::test]
async fn a_folder_of_format_2_opens_with_everything_in_it() {
    let folder = unpacked("format-2");
    let server = Launch::durable(&folder.path().join("data")).start();
    let root = Caller::root(&server).await;
    holds_everything(&root, folder.path(), (13, 3)).await;
    holds_versions(&root, folder.path()).await;
    root.create("next", "v").await;
    server.kill();
    let server = Launch::durable(&folder.path().join("data")).start();
    let root = Caller::root(&server).await;
    holds_versions(&root, folder.path()).await;
    assert_eq!(root.value("next").await, Value::text("v"));
    server.stop().await;
}

#[tokio::test]
async fn a_backup_of_format_1_is_restored_with_everything_in_it() {
    let folder = unpacked("format-1");
    let root = restored(folder.path()).await;
    holds_everything(&root.1, folder.path(), (12, 2)).await;
}

#[tokio::test]
async fn a_backup_of_format_2_is_restored_with_everything_in_it() {
    let folder = unpacked("format-2");
    let root = restored(folder.path()).await;
    holds_everything(&root.1, folder.path(), (13, 3)).await;
    holds_versions(&root.1, folder.path()).await;
}

/// A server with the restored backup, and a caller with its root key.
async fn restored(folder: &Path) -> (Server, Caller) {
    let backup = std::fs::read(folder.join("backup")).unwrap();
    let master_key = folder.join("data/master.key");
    let server =
        Launch::in_memory().argument("--master-key-file").argument(master_key.to_str().unwrap()).start();
    let caller = Caller::root(&server).await;
    let upload = tokio_stream::iter([RestoreBackupRequest { chunk: backup, ..Default::default() }]);
    let mut replies = caller.operator().restore_backup(upload).await.unwrap().into_inner();
    while let Some(reply) = replies.next().await {
        reply.unwrap();
    }
    let root_key = std::fs::read_to_string(folder.join("data/root.key")).unwrap();
    let root = Caller::new(&server, Credential::bearer(root_key.trim())).await;
    (server, root)
}

/// Writes the golden files of a format. Run it once, with the build that introduces the format, and keep the result:
/// `STRONGROOM_GOLDEN=format-N cargo test --test wire -- --ignored golden`.
#[tokio::test]
#[ignore = "writes the folder of a new format"]
async fn write_a_golden_folder() {
    let name = std::env::var("STRONGROOM_GOLDEN").expect("the name of the format");
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(&folder.path().join("data")).start();
    furnish(&server, folder.path()).await;
    let root = Caller::root(&server).await;
    furnish_versions(&root, folder.path()).await;
    rotate_master_key(&root).await.unwrap();
    rotate_namespaces(&root, of_all()).await.unwrap();
    let mut chunks = root.operator().create_backup(CreateBackupRequest {}).await.unwrap().into_inner();
    let mut backup = Vec::new();
    while let Some(reply) = chunks.next().await {
        backup.extend(reply.unwrap().chunk);
    }
    std::fs::write(folder.path().join("backup"), backup).unwrap();
    server.stop().await;
    let archive = archive(&name);
    assert!(!archive.exists(), "{} exists and must stay as it is", archive.display());
    run(Command::new("tar")
        .arg("--owner=0")
        .arg("--group=0")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .args(["data", "backup", "ordinary.key", "later.key"]));
}

const BYTES: [u8; 4] = [0, 0xff, b'\n', 7];

async fn furnish(server: &Server, folder: &Path) {
    let root = Caller::root(server).await;
    let request = CreateApiKeyRequest {
        name: "ordinary".into(),
        home_namespace: "team-a/eu".into(),
        ..Default::default()
    };
    let credential = root.access().create_api_key(request).await.unwrap().into_inner().credential;
    std::fs::write(folder.join("ordinary.key"), &credential).unwrap();
    let ordinary = root.with(Credential::bearer(&credential));
    for caller in [&root, &ordinary] {
        caller.create("plain", "välue\0").await;
        caller.create("empty", "").await;
        let everything = CreateSecretRequest {
            description: "what for".into(),
            metadata: pairs(&[("owner", "payments"), ("Ünï", "\0")]),
            value: binary(BYTES),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..create("everything", "")
        };
        caller.create_with(everything).await;
        caller
            .create_with(CreateSecretRequest { value: binary(vec![7; MAX_VALUE]), ..create("largest", "") })
            .await;
        caller.create("rotated", "one").await;
        caller.rotate("rotated", "two").await;
        caller.update(describe("rotated", "described")).await;
        caller.create("original", "value").await;
        caller.update(rename("original", "renamed")).await;
        caller.create("deleted", "value").await;
        caller.delete("deleted").await;
    }
}

/// A secret with a version in each state.
async fn furnish_versions(root: &Caller, folder: &Path) {
    let request =
        CreateApiKeyRequest { name: "later".into(), home_namespace: "later".into(), ..Default::default() };
    let credential = root.access().create_api_key(request).await.unwrap().into_inner().credential;
    std::fs::write(folder.join("later.key"), &credential).unwrap();
    let later = root.with(Credential::bearer(&credential));
    later.create("versions", "one").await;
    later.rotate("versions", "two").await;
    later.rotate("versions", "three").await;
    later.destroy("versions", 1).await;
    later.disable("versions", 2).await;
}

async fn holds_versions(root: &Caller, folder: &Path) {
    let credential = std::fs::read_to_string(folder.join("later.key")).unwrap();
    let later = root.with(Credential::bearer(&credential));
    let versions = later.versions("versions").await;
    let states: Vec<_> = versions.iter().map(|version| (version.number, version.state())).collect();
    let (enabled, disabled) = (VersionState::Enabled, VersionState::Disabled);
    assert_eq!(states, [(3, enabled), (2, disabled), (1, VersionState::Destroyed)]);
    assert_eq!(later.value("versions").await, Value::text("three"));
}

async fn holds_everything(root: &Caller, folder: &Path, (secrets, namespaces): (u64, u64)) {
    let credential = std::fs::read_to_string(folder.join("ordinary.key")).unwrap();
    let ordinary = root.with(Credential::bearer(&credential));
    for caller in [root, &ordinary] {
        assert_eq!(caller.names().await, ["empty", "everything", "largest", "plain", "renamed", "rotated"]);
        assert_eq!(caller.value("plain").await, Value::text("välue\0"));
        assert_eq!(caller.value("empty").await, Value::text(""));
        assert_eq!(caller.value("largest").await, Value::Binary(vec![7; MAX_VALUE]));
        assert_eq!(caller.value("renamed").await, Value::text("value"));
        let everything = caller.get("everything").await;
        assert_eq!(Value::of(&everything), Value::Binary(BYTES.into()));
        assert_eq!(everything.description, "what for");
        assert_eq!(everything.metadata, pairs(&[("owner", "payments"), ("Ünï", "\0")]));
        let rotated = caller.get("rotated").await;
        assert_eq!((Value::of(&rotated), rotated.version), (Value::text("two"), 2));
        assert_eq!(rotated.description, "described");
        assert_eq!(caller.version("rotated", 1).await, Value::text("one"));
        assert!(nanos(rotated.created_at) < nanos(rotated.rotated_at));
        assert!(nanos(rotated.rotated_at) < nanos(rotated.updated_at));
    }
    let status = root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.secrets, status.namespaces, status.damaged_records), (secrets, namespaces, 0));
}

fn archive(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.tar.gz"))
}

fn unpacked(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("tar").arg("-xzf").arg(archive(name)).arg("-C").arg(folder.path()));
    folder
}

fn run(command: &mut Command) {
    let status = command.status().expect("tar runs");
    assert!(status.success(), "{command:?} ended with {status}");
}

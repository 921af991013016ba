//! Folders and backups that earlier builds wrote must open for ever. `tests/golden` has those of each format. None of them is
//! ever written again.

use std::path::{Path, PathBuf};
use std::process::Command;

use prost_types::{Duration, Timestamp};
use strongroom::api::v1::{
    AcknowledgeVersionRequest, BytesEncoding, CharacterClass, ClaimRotationRequest, CreateApiKeyRequest,
    CreateBackupRequest, CreateBindingRequest, CreateRoleRequest, CreateSecretRequest, Generator,
    GetStatusRequest, KeyPairAlgorithm, ListBindingsRequest, ListRolesRequest, ListSecretsRequest,
    PromoteVersionRequest, ReleaseRotationRequest, RestoreBackupRequest, Right, RotateSecretRequest,
    RotationPolicy, UndeleteSecretRequest, VersionState, generator,
};
use tokio_stream::StreamExt;

use crate::caller::{Caller, Credential};
use crate::harness::{Launch, Server};
use crate::refusal::reason_of;
use crate::rekey::{of_all, rotate_master_key, rotate_namespaces};
use crate::requests::{
    MAX_VALUE, Value, binary, create, describe, key_pair, nanos, pairs, passphrase, password_with,
    random_bytes, random_uuid, rename, rotate,
};

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

/// This folder has what later releases added: roles and bindings, usage, deleted secrets, expiry, and rotations in every state.
#[tokio::test]
async fn a_folder_of_format_3_opens_with_everything_in_it() {
    let folder = unpacked("format-3");
    let server = lasting(Launch::durable(&folder.path().join("data"))).start();
    let root = Caller::root(&server).await;
    holds_everything(&root, folder.path(), (SECRETS_OF_FORMAT_3, 4)).await;
    holds_versions(&root, folder.path()).await;
    holds_rotations(&root, folder.path()).await;
    server.kill();
    let server = lasting(Launch::durable(&folder.path().join("data"))).start();
    let root = Caller::root(&server).await;
    holds_rotations(&root, folder.path()).await;
    goes_on_with_rotations(&root, folder.path()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_backup_of_format_3_is_restored_with_everything_in_it() {
    let folder = unpacked("format-3");
    let root = restored(folder.path()).await;
    holds_everything(&root.1, folder.path(), (SECRETS_OF_FORMAT_3, 4)).await;
    holds_versions(&root.1, folder.path()).await;
    holds_rotations(&root.1, folder.path()).await;
    goes_on_with_rotations(&root.1, folder.path()).await;
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
    let server = lasting(Launch::in_memory());
    let server = server.argument("--master-key-file").argument(master_key.to_str().unwrap()).start();
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
    let server = lasting(Launch::durable(&folder.path().join("data"))).start();
    furnish(&server, folder.path()).await;
    let root = Caller::root(&server).await;
    furnish_versions(&root, folder.path()).await;
    furnish_rotations(&root, folder.path()).await;
    rotate_master_key(&root).await.unwrap();
    rotate_namespaces(&root, of_all()).await.unwrap();
    // A server that stops stores the uses that it has noted.
    server.stop().await;
    let server = lasting(Launch::durable(&folder.path().join("data"))).start();
    let root = Caller::root(&server).await;
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
        .args(["data", "backup", "ordinary.key", "later.key", "rotating.key"]));
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

/// The settings with which a deleted or expired secret of a golden folder is kept for as long as possible.
pub fn lasting(launch: Launch) -> Launch {
    launch.configured("deletion_retention = '3650d'\n")
}

const SECRETS_OF_FORMAT_3: u64 = 13 + 10;
const TEN_YEARS: i64 = 3650 * 24 * 60 * 60;

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

/// A policy for each kind of generator, and one for workers. None of them has anything to do before ten years have passed.
fn policies() -> Vec<(&'static str, RotationPolicy)> {
    let generators = [
        ("by_password", password_with(20, "", &[CharacterClass::Digit, CharacterClass::Symbol])),
        ("by_bytes", random_bytes(Some(40), BytesEncoding::Hex)),
        ("by_uuid", random_uuid()),
        ("by_words", passphrase(Some(6), Some(" "))),
        ("by_pair", key_pair(KeyPairAlgorithm::Ed25519)),
        ("by_worker", None),
    ];
    let policy = |(name, generator)| {
        let policy = RotationPolicy {
            interval: seconds(TEN_YEARS),
            generator,
            grace_period: seconds(3600),
            window: "22:00-02:30".into(),
            paused: name == "by_uuid",
            retire_when_unread: name == "by_worker",
        };
        (name, policy)
    };
    generators.into_iter().map(policy).collect()
}

/// Secrets in every state of deletion, expiry and rotation, and somebody who may read some of them.
async fn furnish_rotations(root: &Caller, folder: &Path) {
    let request = CreateApiKeyRequest {
        name: "rotating".into(),
        home_namespace: "rotating".into(),
        ..Default::default()
    };
    let made = root.access().create_api_key(request).await.unwrap().into_inner();
    std::fs::write(folder.join("rotating.key"), &made.credential).unwrap();
    let caller = root.with(Credential::bearer(&made.credential));
    for (name, policy) in policies() {
        caller.create_with(CreateSecretRequest { rotation_policy: Some(policy), ..create(name, "v") }).await;
    }
    let expires_at = Some(Timestamp { seconds: 4_102_444_800, nanos: 0 });
    caller.create_with(CreateSecretRequest { expires_at, ..create("expiring", "v") }).await;
    caller.create("staged", "one").await;
    let stage = RotateSecretRequest { stage: true, ..rotate("staged", "two") };
    caller.secrets().rotate_secret(stage).await.unwrap();
    caller.create("in_grace", "one").await;
    let grace = RotateSecretRequest { grace_period: seconds(TEN_YEARS), ..rotate("in_grace", "two") };
    caller.secrets().rotate_secret(grace).await.unwrap();
    let acknowledge = AcknowledgeVersionRequest {
        name: "in_grace".into(),
        version: 2,
        consumer: "billing-1".into(),
        ..Default::default()
    };
    caller.secrets().acknowledge_version(acknowledge).await.unwrap();
    caller.version("in_grace", 1).await;
    // A rotation that is due, that was claimed and has failed.
    let due = RotationPolicy { interval: seconds(1), ..Default::default() };
    caller.create_with(CreateSecretRequest { rotation_policy: Some(due), ..create("failed", "v") }).await;
    let claim = ClaimRotationRequest { name_prefix: "failed".into(), ..Default::default() };
    let claimed = loop {
        match caller.secrets().claim_rotation(claim.clone()).await {
            Ok(claimed) => break claimed.into_inner(),
            Err(not_yet) => assert_eq!(reason_of(&not_yet), "NO_ROTATION_DUE"),
        }
    };
    let release = ReleaseRotationRequest {
        claim_id: claimed.claim_id,
        error: "the database refused it".into(),
        retry_after: seconds(30 * 24 * 60 * 60),
        ..Default::default()
    };
    caller.secrets().release_rotation(release).await.unwrap();
    for _ in 0..2 {
        caller.create("deleted", "kept").await;
        caller.delete("deleted").await;
    }
    let role = CreateRoleRequest {
        name: "looker".into(),
        rights: vec![Right::List.into(), Right::Read.into()],
        description: "looks".into(),
    };
    root.access().create_role(role).await.unwrap();
    let binding = CreateBindingRequest {
        principal: "cert:spiffe://example.org/ci".into(),
        role: "looker".into(),
        namespace_pattern: "rotating".into(),
        name_pattern: "by_*".into(),
        description: "for the tests".into(),
        ..Default::default()
    };
    root.access().create_binding(binding).await.unwrap();
}

async fn rotating(root: &Caller, folder: &Path) -> Caller {
    let credential = std::fs::read_to_string(folder.join("rotating.key")).unwrap();
    root.with(Credential::bearer(&credential))
}

pub async fn holds_rotations(root: &Caller, folder: &Path) {
    let caller = rotating(root, folder).await;
    for (name, policy) in policies() {
        let secret = caller.get(name).await;
        assert!(secret.next_rotation_at.is_some(), "{name}");
        assert_eq!(secret.rotation_policy, Some(filled(policy)), "{name}");
    }
    assert_eq!(caller.get("expiring").await.expires_at.unwrap().seconds, 4_102_444_800);
    let staged = caller.get("staged").await;
    assert_eq!((Value::of(&staged), staged.pending_version), (Value::text("one"), Some(2)));
    let versions = caller.versions("in_grace").await;
    assert!(versions[1].retires_at.unwrap().seconds > TEN_YEARS);
    assert_eq!(versions[0].consumers[0].consumer, "billing-1");
    assert!(versions[0].consumers[0].acknowledged_at.is_some() && versions[1].last_read_at.is_some());
    assert_eq!(caller.version("in_grace", 1).await, Value::text("one"));
    let failure = caller.get("failed").await.rotation_failure.unwrap();
    assert_eq!((failure.attempts, failure.error.as_str()), (1, "the database refused it"));
    assert_eq!(deleted(&caller).await.len(), 2);
    let roles = root.access().list_roles(ListRolesRequest::default()).await.unwrap().into_inner().items;
    assert!(roles.iter().any(|role| role.name == "looker" && role.description == "looks"));
    let of_role = ListBindingsRequest { role: "looker".into(), ..Default::default() };
    let bindings = root.access().list_bindings(of_role).await.unwrap().into_inner().items;
    assert_eq!((bindings.len(), bindings[0].name_pattern.as_str()), (1, "by_*"));
}

/// A policy as replies have it: with the alphabet that an empty one stands for.
fn filled(mut policy: RotationPolicy) -> RotationPolicy {
    if let Some(Generator { kind: Some(generator::Kind::Password(password)) }) = &mut policy.generator {
        password.alphabet = (b'!'..=b'~').map(char::from).collect();
    }
    policy
}

/// The ids of the deleted secrets.
async fn deleted(caller: &Caller) -> Vec<String> {
    let request = ListSecretsRequest { include_deleted: true, ..Default::default() };
    let listed = caller.secrets().list_secrets(request).await.unwrap().into_inner().items;
    listed.into_iter().filter(|secret| secret.deleted_at.is_some()).map(|secret| secret.id).collect()
}

/// What was begun is ended.
pub async fn goes_on_with_rotations(root: &Caller, folder: &Path) {
    let caller = rotating(root, folder).await;
    let promote = PromoteVersionRequest { name: "staged".into(), version: 2, ..Default::default() };
    caller.secrets().promote_version(promote).await.unwrap();
    assert_eq!(caller.value("staged").await, Value::text("two"));
    let id = deleted(&caller).await.remove(0);
    let undelete = UndeleteSecretRequest { id, new_name: "back".into(), ..Default::default() };
    caller.secrets().undelete_secret(undelete).await.unwrap();
    assert_eq!(caller.value("back").await, Value::text("kept"));
}

pub async fn holds_versions(root: &Caller, folder: &Path) {
    let credential = std::fs::read_to_string(folder.join("later.key")).unwrap();
    let later = root.with(Credential::bearer(&credential));
    let versions = later.versions("versions").await;
    let states: Vec<_> = versions.iter().map(|version| (version.number, version.state())).collect();
    let (enabled, disabled) = (VersionState::Enabled, VersionState::Disabled);
    assert_eq!(states, [(3, enabled), (2, disabled), (1, VersionState::Destroyed)]);
    assert_eq!(later.value("versions").await, Value::text("three"));
}

async fn holds_everything(root: &Caller, folder: &Path, (secrets, namespaces): (u64, u64)) {
    holds_secrets(root, folder).await;
    let status = root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.secrets, status.namespaces, status.damaged_records), (secrets, namespaces, 0));
}

/// The secrets that every golden folder has are there, and can be read.
pub async fn holds_secrets(root: &Caller, folder: &Path) {
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
}

fn archive(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.tar.gz"))
}

pub fn unpacked(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("tar").arg("-xzf").arg(archive(name)).arg("-C").arg(folder.path()));
    folder
}

fn run(command: &mut Command) {
    let status = command.status().expect("tar runs");
    assert!(status.success(), "{command:?} ended with {status}");
}

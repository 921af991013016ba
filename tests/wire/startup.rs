//! The first start, the keys in the data folder, and the starts that are refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use strongroom::api::v1::{
    CreateApiKeyRequest, CreateBindingRequest, CreateSecretRequest, RevokeApiKeyRequest,
};

use crate::caller::{Caller, Room};
use crate::harness::{Launch, Output, Server};
use crate::requests::{Value, create, describe, pairs, rename};

#[tokio::test]
async fn the_first_start_makes_both_keys_readable_by_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("not/there/yet");
    let server = Launch::durable(&data).start();
    for file in ["master.key", "root.key"] {
        let mode = fs::metadata(data.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{file}");
    }
    assert!(server.root_key.starts_with("srk_"));
    let (root_key, master_key) = (server.root_key.clone(), fs::read(data.join("master.key")).unwrap());
    let told = server.stop().await.all();
    for file in ["master.key", "root.key"] {
        assert!(told.contains(file), "the first start does not say where {file} is:\n{told}");
    }
    assert!(!told.contains(&root_key), "the first start prints the root key");
    assert!(
        !told.contains(String::from_utf8_lossy(&master_key).trim()),
        "the first start prints the master key"
    );
}

#[tokio::test]
async fn a_start_names_its_files_from_the_root_and_no_key_that_is_not_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let export = format!("STRONGROOM_API_KEY_FILE={}\n", folder.path().join("root.key").display());
    let root = Caller::root(&server).await;
    let other = CreateApiKeyRequest { name: "other".into(), role: "none".into(), ..Default::default() };
    let other = root.access().create_api_key(other).await.unwrap().into_inner().api_key.unwrap();
    let admin = CreateBindingRequest {
        principal: format!("key:{}", other.id),
        role: "admin".into(),
        namespace_pattern: "**".into(),
        ..Default::default()
    };
    root.access().create_binding(admin).await.unwrap();
    let told = server.stop().await.all();
    assert!(told.contains(&export), "{told}");

    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let id = server.root_key[4..20].to_owned();
    root.access().revoke_api_key(RevokeApiKeyRequest { id }).await.unwrap();
    let told = server.stop().await.all();
    assert!(told.contains(&export), "{told}");

    // A restore of another store leaves the file so, too.
    let told = Launch::durable(folder.path()).start().stop().await.all();
    assert!(told.contains("STRONGROOM_API_KEY_FILE=FILE_OF_AN_API_KEY") && !told.contains(&export), "{told}");
}

#[tokio::test]
async fn a_second_start_keeps_both_keys() {
    let folder = tempfile::tempdir().unwrap();
    Launch::durable(folder.path()).start().stop().await;
    let keys = || ["master.key", "root.key"].map(|file| fs::read(folder.path().join(file)).unwrap());
    let before = keys();
    Launch::durable(folder.path()).start().stop().await;
    assert_eq!(keys(), before);
}

#[tokio::test]
async fn two_servers_have_different_keys() {
    let (one, other) = (Server::alone(), Server::alone());
    assert_ne!(one.root_key, other.root_key);
    let master = |server: &Server| fs::read(server.data_dir.join("master.key")).unwrap();
    assert_ne!(master(&one), master(&other));
}

#[tokio::test]
async fn no_text_of_a_caller_is_readable_in_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let namespace = "canary-namespace-qx7/canary-segment-vb3";
    let request = CreateApiKeyRequest {
        name: "canary key name zk4".into(),
        home_namespace: namespace.into(),
        ..Default::default()
    };
    let made = root.access().create_api_key(request).await.unwrap().into_inner();
    let caller = root.with(crate::caller::Credential::bearer(&made.credential));
    let request = CreateSecretRequest {
        description: "canary description ht8".into(),
        metadata: pairs(&[("canary metadata key jm2", "canary metadata value rw5")]),
        request_id: "c0ffee00-cafe-4bad-8bad-c0ffeec0ffee".into(),
        ..create("canary_name_one_yd6", "canary value one pf9")
    };
    caller.create_with(request).await;
    caller.rotate("canary_name_one_yd6", "canary value two pf9").await;
    caller.update(describe("canary_name_one_yd6", "canary description two ht8")).await;
    caller.update(rename("canary_name_one_yd6", "canary_name_two_yd6")).await;
    caller.create("canary_name_three_yd6", "canary value three pf9").await;
    caller.delete("canary_name_three_yd6").await;
    caller
        .secrets()
        .create_secret(create("canary not a name yd6", "canary value four pf9"))
        .await
        .expect_err("no name");

    // A part of every string above, long enough not to occur in random bytes by chance, and the secret parts of the keys.
    let parts = [
        "canary",
        "namespace-qx7",
        "segment-vb3",
        "name zk4",
        "description ht8",
        "description two",
        "key jm2",
        "value rw5",
        "one_yd6",
        "two_yd6",
        "three_yd6",
        "value one",
        "value two",
        "c0ffee00-cafe",
    ];
    let canaries = parts.map(|part| part.as_bytes().to_vec());
    let ordinary_key = made.credential.as_bytes()[21..].to_vec();
    let root_key = server.root_key.as_bytes()[21..].to_vec();

    // The folder is searched while the server runs, and after it has ended.
    let assert_nothing_readable = || {
        let files = files_in(folder.path());
        assert!(
            files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 1000,
            "the data is not in the folder"
        );
        for (path, bytes) in files {
            // The audit log has names for people to read. It is searched by `canary`.
            if path.starts_with(folder.path().join("audit"))
                && path.extension().is_some_and(|kind| kind == "jsonl")
            {
                continue;
            }
            let holds = |canary: &[u8]| bytes.windows(canary.len()).any(|window| window == canary);
            for canary in canaries.iter().chain([&ordinary_key]) {
                assert!(!holds(canary), "{} holds {:?}", path.display(), String::from_utf8_lossy(canary));
            }
            if !path.ends_with("root.key") {
                assert!(!holds(&root_key), "{} holds the root key", path.display());
            }
        }
    };
    assert_nothing_readable();
    server.stop().await;
    assert_nothing_readable();
}

#[tokio::test]
async fn a_missing_master_key_is_refused_and_no_new_one_is_made() {
    let folder = furnished().await;
    let key = folder.path().join("master.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();

    let said = Launch::durable(folder.path()).refused();
    assert_names_the_key(&said);
    assert!(!key.exists(), "a new master key was made beside data sealed with another");

    // Once it is put back, it opens everything.
    fs::write(&key, kept).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_furnished(folder.path()).await;
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_and_changes_nothing() {
    let (folder, other) = (furnished().await, furnished().await);
    let key = folder.path().join("master.key");
    let kept = fs::read(&key).unwrap();
    let wrong = fs::read(other.path().join("master.key")).unwrap();
    fs::write(&key, &wrong).unwrap();
    assert_names_the_key(&Launch::durable(folder.path()).refused());
    assert_eq!(fs::read(&key).unwrap(), wrong, "the key file was changed");

    fs::write(&key, kept).unwrap();
    assert_furnished(folder.path()).await;
}

#[tokio::test]
async fn a_damaged_master_key_is_refused() {
    let folder = furnished().await;
    let key = folder.path().join("master.key");
    let kept = fs::read(&key).unwrap();
    for damaged in [&b""[..], b"\n", b"nonsense", &kept[..kept.len() / 2], &[0xff; 32]] {
        fs::write(&key, damaged).unwrap();
        let said = Launch::durable(folder.path()).refused();
        assert_names_the_key(&said);
        let shown = String::from_utf8_lossy(&kept[..kept.len() / 2]).trim().to_owned();
        assert!(!said.all().contains(&shown), "the refusal shows the key");
        assert_eq!(fs::read(&key).unwrap(), damaged);
    }
    fs::write(&key, kept).unwrap();
    assert_furnished(folder.path()).await;
}

#[tokio::test]
async fn a_master_key_that_others_can_read_is_refused() {
    let folder = furnished().await;
    let key = folder.path().join("master.key");
    for mode in [0o640, 0o604, 0o644, 0o660] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let said = Launch::durable(folder.path()).refused();
        assert_names_the_key(&said);
        assert!(said.all().contains("600"), "the refusal does not say what to do:\n{}", said.all());
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_furnished(folder.path()).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused_and_told_which_process_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Launch::durable(folder.path()).start();
    let room = Room::on(&first).await;
    room.create("A", "v").await;
    for _ in 0..2 {
        let said = Launch::durable(folder.path()).refused().all();
        let holder = first.process().to_string();
        let words: Vec<_> = said.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        assert!(words.contains(&holder.as_str()), "the refusal does not name the process {holder}:\n{said}");
    }
    // The first server is not affected.
    first.assert_alive();
    assert_eq!(room.value("A").await, Value::text("v"));
    room.rotate("A", "w").await;
    first.stop().await;
    Launch::durable(folder.path()).start().stop().await;
}

#[tokio::test]
async fn a_killed_server_leaves_its_folder_free() {
    let folder = tempfile::tempdir().unwrap();
    for value in ["one", "two", "three"] {
        let server = Launch::durable(folder.path()).start();
        let root = Caller::root(&server).await;
        root.create(value, value).await;
        server.kill();
    }
    let server = Launch::durable(folder.path()).start();
    assert_eq!(Caller::root(&server).await.names().await.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = Launch::in_memory().listen(&address).refused();
    assert!(said.all().contains(&address), "the refusal does not name the address:\n{}", said.all());
}

#[tokio::test]
async fn an_unknown_store_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let said = Launch::durable(folder.path()).argument("--store").argument("granite").refused();
    assert_eq!(said.code, Some(2), "{}", said.all());
    assert_eq!(files_in(folder.path()).len(), 0, "a start that was refused left something behind");
}

/// A folder with a secret in it, and no server.
async fn furnished() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    Caller::root(&server).await.create("A", "still here").await;
    server.stop().await;
    folder
}

async fn assert_furnished(folder: &Path) {
    let server = Launch::durable(folder).start();
    assert_eq!(Caller::root(&server).await.value("A").await, Value::text("still here"));
    server.stop().await;
}

#[track_caller]
fn assert_names_the_key(said: &Output) {
    let text = said.all().to_lowercase();
    assert!(
        text.contains("master.key") || text.contains("master key"),
        "the refusal does not say why:\n{text}"
    );
}

fn files_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    files
}

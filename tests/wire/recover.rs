//! `strongroom key recover`: an administrator's key without a server, for somebody who has lost all keys.

use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;
use uuid::Uuid;

use crate::access_commands::{Cli, private};
use crate::etcd_server;
use crate::harness::Launch;

/// Runs `strongroom key recover`. No setting of the developer reaches it, and no server or key.
fn recover(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(["key", "recover"]).args(arguments).stdin(Stdio::null());
    for name in
        ["STRONGROOM_SERVER", "STRONGROOM_API_KEY", "STRONGROOM_API_KEY_FILE", "STRONGROOM_MASTER_KEY_FILE"]
    {
        command.env_remove(name);
    }
    command.env_remove("CREDENTIALS_DIRECTORY").output().unwrap()
}

#[tokio::test]
async fn a_recovered_key_has_every_right_and_can_revoke_the_lost_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (data_dir, file) = (data.to_str().unwrap(), folder.path().join("admin.key"));
    let out = file.to_str().unwrap();
    let server = Launch::durable(&data).start();
    let lost = server.root_key.clone();
    let root = Cli { server: &server, key: &lost };
    root.json(&["create", "kept", "--generate", "hex:16"]);
    let lost_id = root.json(&["whoami"])["api_key"]["id"].as_str().unwrap().to_owned();

    // The folder belongs to the server while that runs.
    let refused = recover(&["--data-dir", data_dir, "--out", out]);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("is in use by the process"), "{error}");
    assert!(!file.exists());
    server.stop().await;

    let recovered = recover(&["--data-dir", data_dir, "--out", out]);
    let told = String::from_utf8(recovered.stderr).unwrap();
    assert!(recovered.status.success(), "{told}");
    let shown: Json = serde_json::from_slice(&recovered.stdout).unwrap();
    let key = private(&file);
    let id = shown["id"].as_str().unwrap();
    assert_eq!((&shown["name"], &shown["credential_file"]), (&"recovered".into(), &out.into()));
    assert!(key.starts_with(&format!("srk_{id}_")));
    let secret = key.splitn(3, '_').nth(2).unwrap();
    assert!(!told.contains(secret) && !String::from_utf8(recovered.stdout).unwrap().contains(secret));
    // The audit record, and what to do next.
    let record = told.lines().find(|line| line.contains("offline/RecoverApiKey")).unwrap();
    assert!(record.contains(id) && record.contains("ok") && record.contains("strongroom::audit"), "{record}");
    assert!(told.contains("note: the key has every right. Start the service"), "{told}");

    let server = Launch::durable(&data).start();
    let admin = Cli { server: &server, key: &key };
    // The record is in the audit log too, once.
    let records = admin.run(&["audit", "list"]);
    let records = String::from_utf8(records.stdout).unwrap();
    assert_eq!(records.matches("offline/RecoverApiKey").count(), 1, "{records}");
    assert!(!records.contains(secret));
    let me = admin.json(&["whoami"]);
    assert_eq!(me["rights"].as_array().unwrap().len(), 8);
    assert_eq!(me["api_key"]["root"], false);
    admin.json(&["get", "kept"]);
    // The lost key is an ordinary one now: there is another administrator.
    admin.json(&["key", "revoke", &lost_id, "--yes"]);
    assert_eq!(Cli { server: &server, key: &lost }.refused(&["whoami"]).0, 77);
    let (code, error) = admin.refused(&["key", "revoke", id, "--yes"]);
    assert!(code == 1 && error.contains("every right"), "{error}");
    server.stop().await;

    // Again, to standard output, with another name.
    let printed = recover(&["--data-dir", data_dir, "--key-only", "--name", "second"]);
    assert!(printed.status.success());
    let second = String::from_utf8(printed.stdout).unwrap();
    let server = Launch::durable(&data).start();
    let names = Cli { server: &server, key: second.trim() }.json(&["key", "list"]);
    let names: Vec<_> = names["items"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
    assert_eq!(names, ["root", "recovered", "second"]);
}

#[tokio::test]
async fn a_key_is_recovered_over_etcd_while_another_replica_serves() {
    let Some(etcd) = etcd_server::shared() else { return };
    let (url, prefix) = (etcd.url(), Uuid::new_v4().to_string());
    let replica = Launch::in_etcd(&url, &prefix).start();
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("admin.key"));
    let master = replica.data_dir.join("master.key");
    let [data, out, master] = [&data, &file, &master].map(|path| path.to_str().unwrap());
    let of = |prefix, out| {
        let store = ["--store", "etcd", "--etcd-endpoints", &url, "--etcd-prefix", prefix];
        recover(&[&store[..], &["--data-dir", data, "--master-key-file", master, "--out", out]].concat())
    };

    let recovered = of(&prefix, out);
    assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stderr));
    // The replica that ran all the while takes the key, and can revoke the lost one.
    let key = private(&file);
    let admin = Cli { server: &replica, key: &key };
    let lost = admin.json(&["key", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    admin.json(&["key", "revoke", &lost, "--yes"]);
    assert_eq!(Cli { server: &replica, key: &replica.root_key }.refused(&["whoami"]).0, 77);

    let nowhere = folder.path().join("nowhere.key");
    let refused = of(&Uuid::new_v4().to_string(), nowhere.to_str().unwrap());
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && !nowhere.exists() && error.contains("etcd under this prefix"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_recovered_without_the_store_or_its_master_key() {
    let folder = tempfile::tempdir().unwrap();
    let (data, missing) = (folder.path().join("data"), folder.path().join("missing"));
    let (data_dir, missing_dir) = (data.to_str().unwrap(), missing.to_str().unwrap());
    let refused = |arguments: &[&str]| {
        let output = recover(arguments);
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = refused(&["--data-dir", missing_dir]);
    assert!(error.contains("there is no store in"), "{error}");
    assert!(!missing.exists(), "no folder is made");
    let error = refused(&["--data-dir", missing_dir, "--store", "memory"]);
    assert!(error.contains("ends with its server"), "{error}");

    Launch::durable(&data).start().stop().await;
    let key = data.join("master.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let error = refused(&["--data-dir", data_dir]);
    assert!(error.contains("put the key back"), "{error}");
    let generated = Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(["master-key", "generate", "--out", key.to_str().unwrap()])
        .status();
    assert!(generated.unwrap().success());
    let error = refused(&["--data-dir", data_dir]);
    assert!(error.contains("does not hold the master key"), "{error}");
    std::fs::write(&key, kept).unwrap();
    assert!(recover(&["--data-dir", data_dir, "--key-only"]).status.success());
    assert_eq!(recover(&["--data-dir", data_dir, "--name", ""]).status.code(), Some(2));
}

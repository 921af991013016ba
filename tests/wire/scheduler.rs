//! What the server does by itself: each thing once, also across a kill and among replicas, and each with an audit record.

use prost_types::Duration;
use strongroom::api::v1::{
    AuditFilter, CreateSecretRequest, ListSecretsRequest, RotationPolicy, UpdateSecretRequest,
};

use crate::audit_log::{json, records};
use crate::caller::{Caller, Credential};
use crate::etcd_server;
use crate::harness::Launch;
use crate::requests::{Value, create, delete, list, nanos, random_uuid, update};

fn expiring(name: &str, seconds: i64) -> CreateSecretRequest {
    CreateSecretRequest { ttl: Some(Duration { seconds, nanos: 0 }), ..create(name, "v") }
}

/// The names in the records of what servers did by themselves, in this way.
async fn done(caller: &Caller, rpc: &str) -> Vec<String> {
    let all = records(caller, AuditFilter::default()).await;
    let lines = all.iter().map(json).filter(|line| line["rpc"] == rpc);
    lines
        .map(|line| {
            assert_eq!((line["principal"].as_str(), line["outcome"].as_str()), (Some("service"), Some("ok")));
            line["name"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn what_was_due_while_the_server_was_killed_is_done_once_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let launch = || Launch::durable(&folder.path().join("data")).configured("deletion_retention = '1s'");
    let server = launch().start();
    let root = Caller::root(&server).await;
    let all: Vec<_> = (0..30).map(|n| format!("s{n:02}")).collect();
    for name in &all {
        root.create_with(expiring(name, 1)).await;
    }
    root.create("kept", "v").await;
    root.create("deleted", "v").await;
    root.secrets().delete_secret(delete("deleted")).await.unwrap();
    // Killed while it works, and each time that it has gone on.
    server.wait_for_logged(1, "scheduler/PurgeSecret");
    server.kill();
    let server = launch().start();
    server.wait_for_logged(1, "scheduler/PurgeSecret");
    server.kill();

    let server = launch().start();
    let root = Caller::root(&server).await;
    let deleted = || ListSecretsRequest { include_deleted: true, ..list() };
    while root.list(deleted()).await.total_size > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(root.value("kept").await, Value::text("v"));
    let mut purged = done(&root, "scheduler/PurgeSecret").await;
    purged.sort();
    let mut expected = all.clone();
    expected.insert(0, "deleted".to_owned());
    assert_eq!(purged, expected);
    server.stop().await;
}

#[tokio::test]
async fn what_is_due_is_done_by_one_of_two_replicas() {
    let Some(etcd) = etcd_server::shared() else { return };
    let prefix = uuid::Uuid::new_v4().to_string();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("both.toml");
    std::fs::write(&config, "deletion_retention = '1s'").unwrap();
    let config = config.display().to_string();
    let launch = || Launch::in_etcd(&etcd.url(), &prefix).argument("--config").argument(&*config);
    let one = launch().start();
    let key = one.data_dir.join("master.key").display().to_string();
    let other = launch().argument("--master-key-file").argument(key).start();
    let credential = Credential::bearer(&one.root_key);
    let callers = [Caller::new(&one, credential.clone()).await, Caller::new(&other, credential).await];
    let all: Vec<_> = (0..20).map(|n| format!("s{n:02}")).collect();
    for name in &all {
        callers[0].create_with(expiring(name, 1)).await;
    }
    for caller in &callers {
        while caller.list(list()).await.total_size > 0 {
            tokio::task::yield_now().await;
        }
    }
    // The record of the last change is in the log of its server soon after the change.
    for rpc in ["scheduler/TellExpiry", "scheduler/PurgeSecret"] {
        let mut done_by_both = Vec::new();
        while done_by_both.len() < all.len() {
            done_by_both = [done(&callers[0], rpc).await, done(&callers[1], rpc).await].concat();
            tokio::task::yield_now().await;
        }
        done_by_both.sort();
        let mut once = done_by_both.clone();
        once.dedup();
        assert_eq!(once, all, "{rpc}");
        let told_twice = if rpc == "scheduler/TellExpiry" { 2 } else { 1 };
        assert!(done_by_both.len() <= told_twice * all.len(), "{rpc} was done again: {done_by_both:?}");
    }
}

/// A policy to rotate each second.
fn each_second() -> RotationPolicy {
    let second = Some(Duration { seconds: 1, nanos: 0 });
    RotationPolicy { interval: second, generator: random_uuid(), grace_period: second, ..Default::default() }
}

/// Waits until a secret has so many versions, then pauses its rotation. Returns the number of versions that it has then.
async fn rotated(caller: &Caller, name: &str, versions: u32) -> u32 {
    while caller.get(name).await.version < versions {
        tokio::task::yield_now().await;
    }
    let paused = Some(RotationPolicy { paused: true, ..each_second() });
    caller.update(UpdateSecretRequest { rotation_policy: paused, ..update(name) }).await.version
}

/// Asserts that a secret was rotated at most once for each time that was due: a second later than the time before.
async fn each_was_due(caller: &Caller, name: &str) {
    let versions = caller.versions(name).await;
    for pair in versions.windows(2) {
        let between = nanos(pair[0].created_at) - nanos(pair[1].created_at);
        assert!(between >= 1_000_000_000, "version {} was made too early", pair[0].number);
    }
}

#[tokio::test]
async fn a_due_rotation_is_made_once_also_across_kills() {
    let folder = tempfile::tempdir().unwrap();
    let launch = || Launch::durable(folder.path());
    let mut server = launch().start();
    let root = Caller::root(&server).await;
    let request = CreateSecretRequest { rotation_policy: Some(each_second()), ..create("A", "v") };
    assert!(root.create_with(request).await.next_rotation_at.is_some());
    for _ in 0..3 {
        server.wait_for_logged(1, "scheduler/RotateSecret");
        server.kill();
        server = launch().start();
    }
    let root = Caller::root(&server).await;
    let versions = rotated(&root, "A", 5).await;
    each_was_due(&root, "A").await;
    let made = done(&root, "scheduler/RotateSecret").await;
    assert_eq!(made.len() + 1, usize::try_from(versions).unwrap(), "each rotation has its record");
    // The versions before the last two have retired, and the current one is one of the service.
    assert_ne!(root.value("A").await, Value::text("v"));
    server.stop().await;
}

/// One of the replicas is killed in the middle of its work, and comes back.
#[tokio::test]
async fn a_due_rotation_is_made_by_one_of_two_replicas() {
    let Some(etcd) = etcd_server::shared() else { return };
    let prefix = uuid::Uuid::new_v4().to_string();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let key = folders[0].path().join("data/master.key").display().to_string();
    let launch = |nth: usize| {
        let arguments = ["--store", "etcd", "--etcd-endpoints", &etcd.url(), "--etcd-prefix", &prefix];
        let launch = Launch::durable(&folders[nth].path().join("data"));
        let launch = arguments.into_iter().fold(launch, |launch, argument| launch.argument(argument));
        if nth == 0 { launch } else { launch.argument("--master-key-file").argument(&*key) }
    };
    let one = launch(0).start();
    let mut other = launch(1).start();
    let credential = Credential::bearer(&one.root_key);
    let first = Caller::new(&one, credential.clone()).await;
    let policy = Some(each_second());
    first.create_with(CreateSecretRequest { rotation_policy: policy, ..create("A", "v") }).await;
    for versions in [2, 4] {
        while first.get("A").await.version < versions {
            tokio::task::yield_now().await;
        }
        other.kill();
        other = launch(1).start();
    }
    let second = Caller::new(&other, credential).await;
    let versions = usize::try_from(rotated(&second, "A", 6).await).unwrap();
    each_was_due(&first, "A").await;
    let mut made = 0;
    // The record of the last rotation is in the log of its server soon after the change.
    while made + 1 < versions {
        made = 0;
        for caller in [&first, &second] {
            made += done(caller, "scheduler/RotateSecret").await.len();
        }
    }
    assert_eq!(made + 1, versions);
}

//! Quotas: how much the secrets of a namespace, and of those below it, may take together.

use std::path::Path;

use serde_json::{Value as Json, json};
use strongroom::api::v1::{
    CreateSecretRequest, DeleteSecretRequest, DestroyVersionRequest, GetStatusRequest, PromoteVersionRequest,
    QuotaUse, RotateSecretRequest, UpdateSecretRequest,
};
use tokio::task::JoinSet;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::access_commands::Cli;
use crate::caller::{Caller, Credential, Room};
use crate::etcd_server;
use crate::harness::{Launch, Server};
use crate::metrics::{page, sample};
use crate::refusal::{denied, refused};
use crate::requests::{Value, create, delete, describe, destroy, rename, rotate, text};

fn create_in(namespace: &str, name: &str, value: &str) -> CreateSecretRequest {
    CreateSecretRequest { namespace: namespace.into(), ..create(name, value) }
}

/// Asserts a refusal by a quota that limits this. Its message names the namespace of the quota, and its limit.
#[track_caller]
fn reached<T>(reply: Result<Response<T>, Status>, limit: &str, of: &str, most: u64) -> String {
    let status = refused(reply, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    let quota = status.get_details_quota_failure().expect("a QuotaFailure").violations.remove(0);
    assert_eq!(quota.subject, limit);
    let what = if limit == "secrets_per_namespace" { "secrets" } else { "bytes of values" };
    for text in [status.message(), &quota.description] {
        assert!(text.contains(&format!("{of} ")) && text.contains(&format!(" {most} {what}")), "{text}");
    }
    assert!(status.message().contains("delete") && status.message().contains("ask the operator"));
    assert!(status.get_details_retry_info().is_none(), "to wait alone does not help");
    status.message().to_owned()
}

async fn quotas(root: &Caller) -> Vec<QuotaUse> {
    root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner().quotas
}

/// What is used of the first quota: secrets, and bytes.
async fn used(root: &Caller) -> (u64, u64) {
    let quota = quotas(root).await.remove(0);
    (quota.secrets_used, quota.bytes_used.unwrap_or_default())
}

#[tokio::test]
async fn a_namespace_holds_as_many_secrets_as_its_quota_says() {
    let toml = "deletion_retention = '1s'\n[[quotas]]\nnamespace = 'team'\nsecrets = 2";
    let server = Launch::in_memory().configured(toml).start();
    let root = Caller::root(&server).await;
    let (_, team) = root.make_key("team", "team").await;
    team.create("A", "a").await;
    team.create("B", "b").await;
    let told = reached(
        team.secrets().create_secret(create("C", "c")).await,
        "secrets_per_namespace",
        "The namespace 'team', with those below it,",
        2,
    );
    assert!(told.contains("A deleted secret counts until it is removed for good"), "{told}");
    root.create("elsewhere", "v").await;

    // What adds no secret goes on.
    team.rotate("A", "aa").await;
    team.update(describe("A", "what for")).await;
    team.update(rename("B", "C")).await;
    assert_eq!(used(&root).await, (2, 0));

    // A deleted secret takes its room until it is removed.
    team.delete("C").await;
    while team.secrets().create_secret(create("D", "d")).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(server.logged().contains("scheduler/PurgeSecret"));
    assert_eq!(team.names().await, ["A", "D"]);
    server.stop().await;
}

#[tokio::test]
async fn a_namespace_holds_as_many_bytes_as_its_quota_says() {
    let toml = "deletion_retention = '0s'\n[[quotas]]\nnamespace = 'team'\nbytes = '1 KiB'";
    let server = Launch::in_memory().configured(toml).start();
    let root = Caller::root(&server).await;
    let (_, team) = root.make_key("team", "team").await;
    let full = |status: Status| {
        let of = "The namespace 'team', with those below it,";
        reached::<()>(Err(status), "bytes_per_namespace", of, 1024)
    };
    let (half, one) = ("h".repeat(512), "v");
    team.create("A", &half).await;
    team.rotate("A", &half).await;
    assert_eq!(used(&root).await, (1, 1024));
    full(team.secrets().create_secret(create("B", one)).await.unwrap_err());
    full(team.secrets().rotate_secret(rotate("A", one)).await.unwrap_err());
    let staged = RotateSecretRequest { stage: true, ..rotate("A", one) };
    full(team.secrets().rotate_secret(staged.clone()).await.unwrap_err());
    let with_value = UpdateSecretRequest { value: text(one), ..describe("A", "both") };
    let told = full(team.secrets().update_secret(with_value.clone()).await.unwrap_err());
    assert!(told.contains("Former versions count"), "{told}");
    assert_eq!(team.get("A").await.description, "", "nothing of a refused update is made");
    team.create("empty", "").await;

    team.destroy("A", 1).await;
    assert_eq!(used(&root).await, (2, 512));
    team.secrets().rotate_secret(staged).await.unwrap();
    team.update(with_value).await;
    assert_eq!(used(&root).await, (2, 514));
    let promote = PromoteVersionRequest { name: "A".into(), version: 2, ..Default::default() };
    team.secrets().promote_version(promote).await.unwrap();
    team.disable("A", 4).await;
    assert_eq!(used(&root).await, (2, 514));
    assert_eq!(team.value("A").await, Value::text(&*half));
    team.delete("A").await;
    assert_eq!(used(&root).await, (1, 0));
    server.stop().await;
}

#[tokio::test]
async fn quotas_of_namespaces_above_and_of_the_store_count_too() {
    let toml = "[[quotas]]\nsecrets = 6\n[[quotas]]\nnamespace = 'team'\nsecrets = 4\nbytes = '10 B'\n\
                [[quotas]]\nnamespace = 'team/web'\nsecrets = 2";
    let server = Launch::in_memory().configured(toml).start();
    let root = Caller::root(&server).await;
    let create = |namespace: &str, name: &str, value: &str| {
        let (mut secrets, request) = (root.secrets(), create_in(namespace, name, value));
        async move { secrets.create_secret(request).await }
    };
    let (secrets, team) = ("secrets_per_namespace", "The namespace 'team', with those below it,");
    create("team/web", "A", "1").await.unwrap();
    create("team/web/eu", "A", "22").await.unwrap();
    let web = "The namespace 'team/web', with those below it,";
    reached(create("team/web", "B", "3").await, secrets, web, 2);
    reached(create("team/web/us", "A", "3").await, secrets, web, 2);
    reached(create("team/api", "A", "too many").await, "bytes_per_namespace", team, 10);
    create("team", "A", "333").await.unwrap();
    create("team/api", "A", "4444").await.unwrap();
    reached(create("team/api", "B", "").await, secrets, team, 4);
    // A name that begins in the same way is not below.
    create("team-b", "A", "55555").await.unwrap();
    create("default", "A", "666666").await.unwrap();
    reached(create("default", "B", "").await, secrets, "The store", 6);
    let expected = [("", Some(6), 6, None), ("team", Some(4), 4, Some(10)), ("team/web", Some(2), 2, None)];
    let told = quotas(&root).await;
    let told: Vec<_> = told
        .iter()
        .map(|quota| {
            (
                &*quota.namespace,
                quota.secrets_limit,
                quota.secrets_used,
                quota.bytes_used.filter(|_| quota.bytes_limit.is_some()),
            )
        })
        .collect();
    assert_eq!(told, expected);
    server.stop().await;
}

/// Creates many secrets at once. Returns how many were created; each refusal is one by the quota.
async fn race(caller: &Caller, namespaces: &[&str], creates: usize) -> usize {
    let mut racing = JoinSet::new();
    for number in 0..creates {
        let mut secrets = caller.secrets();
        let request = create_in(namespaces[number % namespaces.len()], &format!("s{number}"), "v");
        racing.spawn(async move { secrets.create_secret(request).await });
    }
    let mut created = 0;
    while let Some(reply) = racing.join_next().await {
        match reply.unwrap() {
            Ok(_) => created += 1,
            refusal => drop(refused(refusal, Code::ResourceExhausted, "QUOTA_EXCEEDED")),
        }
    }
    created
}

#[tokio::test]
async fn of_many_creates_at_once_as_many_are_made_as_there_is_room_for() {
    let toml = "[[quotas]]\nnamespace = 'team'\nsecrets = 37";
    let server = Launch::in_memory().configured(toml).start();
    let root = Caller::root(&server).await;
    // The namespaces are new, so the first creates race for them too.
    let created = race(&root, &["team", "team/a", "team/b/c"], 200).await;
    assert_eq!((created, used(&root).await.0), (37, 37));
    server.stop().await;
}

/// A server of this launch that has some secrets, and what is used of its quota.
async fn filled(launch: Launch) -> (Server, (u64, u64)) {
    let server = launch.start();
    let root = Caller::root(&server).await;
    for (namespace, name) in [("team", "A"), ("team", "B"), ("team/web", "A"), ("other", "A")] {
        root.secrets().create_secret(create_in(namespace, name, "12345")).await.unwrap();
        let rotate = RotateSecretRequest { namespace: namespace.into(), ..rotate(name, "123") };
        root.secrets().rotate_secret(rotate).await.unwrap();
    }
    let request = DeleteSecretRequest { namespace: "team".into(), ..delete("B") };
    root.secrets().delete_secret(request).await.unwrap();
    let used = used(&root).await;
    (server, used)
}

const TEAM: &str = "[[quotas]]\nnamespace = 'team'\nsecrets = 3\nbytes = '24 B'";

/// Asserts that a server that was started again counts the same, and refuses the same.
async fn counts_the_same(server: &Server, credential: Credential, before: (u64, u64)) {
    let root = Caller::new(server, credential).await;
    assert_eq!((used(&root).await, before), ((3, 24), (3, 24)));
    let of = "The namespace 'team', with those below it,";
    reached(root.secrets().create_secret(create_in("team", "C", "")).await, "secrets_per_namespace", of, 3);
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_counts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let launch = || Launch::durable(&folder.path().join("data")).configured(TEAM);
    let (server, before) = filled(launch()).await;
    server.kill();
    let server = launch().start();
    counts_the_same(&server, Credential::bearer(&server.root_key), before).await;
    server.stop().await;

    // The quota was lowered: everything is read and can be deleted, and nothing is added.
    let lowered = Launch::durable(&folder.path().join("data"))
        .configured("deletion_retention = '0s'\n[[quotas]]\nnamespace = 'team'\nsecrets = 1\nbytes = '2 B'");
    let server = lowered.start();
    let root = Caller::root(&server).await;
    let (_, team) = root.make_key("team", "team").await;
    assert_eq!(team.value("A").await, Value::text("123"));
    refused(team.secrets().create_secret(create("C", "")).await, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    refused(team.secrets().rotate_secret(rotate("A", "1")).await, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    team.update(describe("A", "still here")).await;
    team.destroy("A", 1).await;
    team.delete("A").await;
    server.stop().await;
}

#[tokio::test]
async fn replicas_over_etcd_count_the_same_and_one_that_is_started_later_too() {
    let Some(etcd) = etcd_server::shared() else { return };
    let (prefix, folder) = (Uuid::new_v4().to_string(), tempfile::tempdir().unwrap());
    let config = folder.path().join("quotas.toml");
    std::fs::write(&config, TEAM).unwrap();
    let launch = || with_config(Launch::in_etcd(&etcd.url(), &prefix), &config);
    let (one, before) = filled(launch()).await;
    let key = one.data_dir.join("master.key").display().to_string();
    let other = launch().argument("--master-key-file").argument(key).start();
    let credential = Credential::bearer(&one.root_key);
    for server in [&one, &other] {
        counts_the_same(server, credential.clone(), before).await;
    }
    // Room that is made at one of them is room at the other.
    let (here, there) = (Caller::new(&one, credential.clone()).await, Caller::new(&other, credential).await);
    let destroy = DestroyVersionRequest { namespace: "team".into(), ..destroy("A", 1) };
    here.secrets().destroy_version(destroy).await.unwrap();
    let rotate = |value| RotateSecretRequest { namespace: "team".into(), ..rotate("A", value) };
    refused(there.secrets().rotate_secret(rotate("123456")).await, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    there.secrets().rotate_secret(rotate("12345")).await.unwrap();
}

fn with_config(launch: Launch, config: &Path) -> Launch {
    launch.argument("--config").argument(config.display().to_string())
}

#[tokio::test]
async fn a_repeated_request_has_its_first_outcome_although_the_quota_is_reached() {
    let server = Launch::in_memory().configured("[[quotas]]\nsecrets = 1\nbytes = '2 B'").start();
    let root = Caller::root(&server).await;
    let request_id = || Uuid::new_v4().to_string();
    let request = CreateSecretRequest { request_id: request_id(), ..create("A", "1") };
    let first = root.secrets().create_secret(request.clone()).await.unwrap().into_inner();
    let rotation = RotateSecretRequest { request_id: request_id(), ..rotate("A", "2") };
    let rotated = root.secrets().rotate_secret(rotation.clone()).await.unwrap().into_inner();
    assert_eq!(used(&root).await, (1, 2));
    for _ in 0..3 {
        let repeated = root.secrets().create_secret(request.clone()).await.unwrap().into_inner();
        assert_eq!(
            (repeated.revision, repeated.secret.unwrap().id),
            (first.revision, first.secret.clone().unwrap().id)
        );
        let repeated = root.secrets().rotate_secret(rotation.clone()).await.unwrap().into_inner();
        assert_eq!((repeated.revision, repeated.version), (rotated.revision, rotated.version));
    }
    // A request that was refused was not carried out: it is once there is room.
    let refused_one = RotateSecretRequest { request_id: request_id(), ..rotate("A", "3") };
    for _ in 0..3 {
        let reply = root.secrets().rotate_secret(refused_one.clone()).await;
        reached(reply, "bytes_per_namespace", "The store", 2);
    }
    root.destroy("A", 1).await;
    let made = root.secrets().rotate_secret(refused_one).await.unwrap().into_inner();
    assert_eq!((made.version, used(&root).await), (3, (1, 2)));
    server.stop().await;
}

#[tokio::test]
async fn the_use_of_quotas_is_seen_by_operators_and_in_numbers_by_monitoring() {
    let toml = "[[quotas]]\nnamespace = 'team'\nsecrets = 4\nbytes = '8 KiB'\n[[quotas]]\nnamespace = 'b'\nsecrets = 100";
    let server =
        Launch::in_memory().configured(toml).argument("--metrics-listen").argument("127.0.0.1:0").start();
    let root = Caller::root(&server).await;
    root.secrets().create_secret(create_in("team", "A", &"v".repeat(2048))).await.unwrap();
    root.secrets().create_secret(create_in("b", "A", "")).await.unwrap();
    let team = QuotaUse {
        namespace: "team".into(),
        secrets_limit: Some(4),
        secrets_used: 1,
        bytes_limit: Some(8192),
        bytes_used: Some(2048),
    };
    let b =
        QuotaUse { namespace: "b".into(), secrets_limit: Some(100), secrets_used: 1, ..QuotaUse::default() };
    assert_eq!(quotas(&root).await, [team, b]);
    let room = Room::on(&server).await;
    denied(room.operator().get_status(GetStatusRequest {}).await);

    let cli = Cli { server: &server, key: &server.root_key };
    let shown = &cli.json(&["status"])["quotas"];
    let b = json!({ "namespace": "b", "secrets_limit": 100, "secrets_used": 1, "bytes_limit": null, "bytes_used": null });
    assert_eq!((&shown[1], shown[0]["bytes_used"].as_u64()), (&b, Some(2048)));
    let table = String::from_utf8(cli.run(&["status", "-o", "table"]).stdout).unwrap();
    let row = table.lines().find(|line| line.starts_with("quotas")).unwrap();
    assert!(row.ends_with("team: 1 of 4 secrets, 2.0 KiB of 8.0 KiB of values"), "{table}");
    assert!(!table.contains("b: 1 of 100"), "{table}");

    let measured = page(&server.metrics_address()).await;
    for limit in ["secrets", "bytes"] {
        let ratio = sample(&measured, &format!("strongroom_quota_used_ratio{{limit=\"{limit}\"}}"));
        assert_eq!(ratio, Some(0.25), "{measured}");
    }
    assert!(!measured.contains("team"), "{measured}");
    server.stop().await;

    // Without quotas, there is nothing to tell.
    let server = Launch::in_memory().start();
    let root = Caller::root(&server).await;
    assert_eq!(quotas(&root).await, []);
    assert_eq!(
        Cli { server: &server, key: &server.root_key }.json(&["status"])["quotas"],
        Json::Array(Vec::new())
    );
    server.stop().await;
}

#[test]
fn a_quota_that_cannot_be_used_is_refused_at_the_start() {
    for (toml, says) in [
        (
            "namespace = 'team'",
            "the quota of the namespace 'team' in [[quotas]] cannot be used: it limits nothing",
        ),
        (
            "namespace = 'Team'\nsecrets = 1",
            "quota number 1 in [[quotas]] cannot be used: 'namespace' must be 1 to 8",
        ),
        (
            "namespace = 'a//b'\nsecrets = 1",
            "the quota of the namespace 'a//b' in [[quotas]] cannot be used: 'namespace'",
        ),
        ("namespace = ''\nsecrets = 1", "be left out for the whole store"),
        (
            "secrets = 0",
            "the quota of the whole store in [[quotas]] cannot be used: 'secrets' must be between",
        ),
        ("bytes = '9 PiB'", "'bytes' must be between 1 B and 1 PiB"),
        (
            "secrets = 1\n[[quotas]]\nsecrets = 2",
            "there is another one: put the limits of both into one table",
        ),
    ] {
        let said = Launch::in_memory().configured(&format!("[[quotas]]\n{toml}")).refused().all();
        assert!(said.contains(says), "{toml}: {said}");
    }
}

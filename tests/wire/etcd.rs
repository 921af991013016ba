//! Replicas over one etcd: each sees the changes of the others, and no failure of a replica or of etcd loses an acknowledged
//! change.

use std::time::{Duration, Instant};

use strongroom::api::v1::GetSecretRequest;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::caller::{Caller, Credential, endpoint};
use crate::etcd_server::{self, Etcd};
use crate::harness::{Launch, PATIENCE, Server};
use crate::refusal::{gone, reason_of, refused, taken};
use crate::requests::{Value, create, get, rotate};

/// The time within which a caller is told that etcd does not answer.
const BOUND: Duration = Duration::from_secs(10);

/// Two servers over one store, and a caller of each with the root key.
struct Replicas {
    one: Server,
    other: Server,
    callers: [Caller; 2],
    prefix: String,
}

impl Replicas {
    async fn over(etcd: &Etcd) -> Self {
        let prefix = Uuid::new_v4().to_string();
        let one = Launch::in_etcd(&etcd.url(), &prefix).start();
        let other = Self::launch(etcd, &prefix, &one).start();
        let root = Credential::bearer(&one.root_key);
        let callers = [Caller::new(&one, root.clone()).await, Caller::new(&other, root).await];
        Self { one, other, callers, prefix }
    }

    fn launch(etcd: &Etcd, prefix: &str, first: &Server) -> Launch {
        let key = first.data_dir.join("master.key").display().to_string();
        Launch::in_etcd(&etcd.url(), prefix).argument("--master-key-file").argument(key)
    }
}

#[tokio::test]
async fn a_write_through_one_replica_is_read_through_the_other() {
    let Some(etcd) = etcd_server::shared() else { return };
    let replicas = Replicas::over(etcd).await;
    for file in ["root.key", "master.key"] {
        assert!(!replicas.other.data_dir.join(file).exists(), "the second replica made a {file}");
    }
    for round in 0..20 {
        let [writer, reader] = [0, 1].map(|one| &replicas.callers[(round + one) % 2]);
        let name = format!("n{round}");
        let made = writer.create(&name, "one").await;
        let at = |revision| GetSecretRequest { min_revision: revision, ..get(&name) };
        let read = reader.secrets().get_secret(at(made.revision)).await.unwrap().into_inner();
        assert_eq!(Value::of(&read.secret.unwrap()), Value::text("one"));
        let made = writer.rotate(&name, "two").await;
        let read = reader.secrets().get_secret(at(made.revision)).await.unwrap().into_inner();
        assert_eq!(Value::of(&read.secret.unwrap()), Value::text("two"));
        // This rotation names no revision, so the replica must find the newest version by itself.
        reader.rotate(&name, "three").await;
    }
    // The other replica knows a key that one replica made.
    let (key, _) = replicas.callers[0].make_key("ordinary", "team-a").await;
    let listed =
        replicas.callers[1].access().list_api_keys(strongroom::api::v1::ListApiKeysRequest::default()).await;
    assert!(listed.unwrap().into_inner().items.iter().any(|listed| listed.id == key.id));
    // Each replica continues from the other one's changes, also those that no read asked it for.
    for round in 0..4 {
        let [maker, other] = [0, 1].map(|one| &replicas.callers[(round / 2 + one) % 2]);
        let made = other.create(&format!("key{round}"), "one").await;
        let seen = GetSecretRequest { min_revision: made.revision, ..get(&format!("key{round}")) };
        maker.secrets().get_secret(seen).await.unwrap();
        maker.make_key(&format!("key {round}"), "team-a").await;
    }
}

#[tokio::test]
async fn a_read_that_waits_at_one_replica_ends_when_its_key_is_revoked_at_the_other() {
    let Some(etcd) = etcd_server::shared() else { return };
    let replicas = Replicas::over(etcd).await;
    let [here, there] = &replicas.callers;
    let (key, caller) = here.make_key("ordinary", "team-a").await;
    let made = caller.create("a", "v").await;
    let waits = caller.at(&replicas.other).await;
    // It knows the key: so the next read is admitted, and waits.
    let seen = GetSecretRequest { min_revision: made.revision, ..get("a") };
    waits.secrets().get_secret(seen).await.unwrap();
    let mut secrets = waits.secrets();
    let ahead = GetSecretRequest { min_revision: 1 << 40, ..get("a") };
    let parked = tokio::spawn(async move { secrets.get_secret(ahead).await });
    there.access().who_am_i(strongroom::api::v1::WhoAmIRequest {}).await.unwrap();
    let id = key.id.clone();
    here.access().revoke_api_key(strongroom::api::v1::RevokeApiKeyRequest { id }).await.unwrap();
    refused(parked.await.unwrap(), Code::Unauthenticated, "CREDENTIAL_INVALID");
    refused(waits.secrets().get_secret(get("a")).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn of_many_creates_of_one_name_through_both_replicas_one_wins() {
    let Some(etcd) = etcd_server::shared() else { return };
    let replicas = Replicas::over(etcd).await;
    for name in ["a", "b", "c"] {
        let mut racing = JoinSet::new();
        for racer in 0..32 {
            let caller = replicas.callers[racer % 2].clone();
            racing.spawn(async move {
                let value = format!("of {racer}");
                let reply = caller.secrets().create_secret(create(name, &value)).await;
                match reply {
                    Ok(_) => Some(value),
                    refusal => {
                        taken(refusal, name);
                        None
                    }
                }
            });
        }
        let winners: Vec<_> = racing.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        for caller in &replicas.callers {
            assert_eq!(caller.value(name).await, Value::text(winners[0].as_str()));
        }
    }
}

#[tokio::test]
async fn a_replica_without_the_master_key_is_refused() {
    let Some(etcd) = etcd_server::shared() else { return };
    let prefix = Uuid::new_v4().to_string();
    let first = Launch::in_etcd(&etcd.url(), &prefix).start();
    let said = Launch::in_etcd(&etcd.url(), &prefix).refused().all();
    assert!(said.contains("master.key") && said.contains("--master-key-file"), "{said}");
    first.stop().await;
}

#[tokio::test]
async fn endpoints_of_two_clusters_and_prefixes_that_overlap_are_refused_with_what_to_do() {
    let (Some(etcd), Some(other)) = (etcd_server::shared(), Etcd::start()) else { return };
    let prefix = format!("{}/", Uuid::new_v4());
    let said = Launch::in_etcd(&format!("{},{}", etcd.url(), other.url()), &prefix).refused().all();
    for text in ["two clusters", "--etcd-endpoints", &etcd.url(), &other.url()] {
        assert!(said.contains(text), "{said}");
    }
    let first = Launch::in_etcd(&etcd.url(), &prefix).start();
    let said = Launch::in_etcd(&etcd.url(), &format!("{prefix}team/")).refused().all();
    for text in [&format!("lies within {prefix}"), "nothing was changed", "--etcd-prefix"] {
        assert!(said.contains(text), "{said}");
    }
    let root = Caller::root(&first).await;
    root.create("a", "v").await;
    first.stop().await;
}

#[tokio::test]
async fn an_etcd_that_is_away_at_the_start_is_waited_for() {
    let Some(etcd) = Etcd::start() else { return };
    etcd.kill();
    let metrics = ["--metrics-listen", "127.0.0.1:0"];
    let launch = metrics.into_iter().fold(Launch::in_etcd(&etcd.url(), "p"), Launch::argument);
    let mut server = launch.start_loading();
    server.wait_for_logged(1, "the server waits for etcd");
    let address = etcd.url().rsplit('/').next().unwrap().to_owned();
    assert!(server.logged().contains(&address), "the log does not name the etcd:\n{}", server.logged());
    crate::loading::assert_loading(&server).await;
    etcd.start_again();
    server.wait_until_ready();
    let root = Caller::new(&server, Credential::bearer(&server.root_key)).await;
    root.create("a", "v").await;
    assert_eq!(root.value("a").await, Value::text("v"));
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_waits_for_etcd_can_be_stopped() {
    let nothing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let server = Launch::in_etcd(&nothing, "p").start_loading();
    server.wait_for_logged(1, "the server waits for etcd");
    let said = server.stop().await.all();
    assert!(said.contains(&nothing), "{said}");
}

#[tokio::test]
async fn an_outage_of_etcd_is_reported_within_a_bound_and_needs_no_restart() {
    let Some(etcd) = Etcd::start() else { return };
    let mut replicas = Replicas::over(&etcd).await;
    replicas.callers[0].create("before", "v").await;
    let mut health = [watch_health(&replicas.one).await, watch_health(&replicas.other).await];
    for kill in [false, true] {
        for health in &mut health {
            becomes(health, ServingStatus::Serving).await;
        }
        if kill {
            etcd.kill()
        } else {
            etcd.signal("STOP")
        }
        let begun = Instant::now();
        for caller in &replicas.callers {
            let mut secrets = [caller.secrets(), caller.secrets()];
            let [reading, writing] = &mut secrets;
            // The outcome of the create is unknown: an etcd that was only stopped can commit it later. So each create has a
            // name of its own.
            let name = format!("in_vain_{}", Uuid::new_v4().simple());
            let (read, written) =
                tokio::join!(reading.get_secret(get("before")), writing.create_secret(create(&name, "v")));
            let status = refused(read, Code::Unavailable, "STORE_UNAVAILABLE");
            assert!(status.get_details_retry_info().is_some(), "{status:?}");
            let status = written.unwrap_err();
            assert_eq!(
                (status.code(), reason_of(&status).as_str()),
                (Code::Unavailable, "STORE_UNAVAILABLE")
            );
            assert!(status.get_details_retry_info().is_some(), "{status:?}");
        }
        assert!(begun.elapsed() < 2 * BOUND, "it took {:?}", begun.elapsed());
        for health in &mut health {
            becomes(health, ServingStatus::NotServing).await;
        }

        if kill {
            etcd.start_again()
        } else {
            etcd.signal("CONT")
        }
        for health in &mut health {
            becomes(health, ServingStatus::Serving).await;
        }
        for (caller, name) in replicas.callers.iter().zip(["one", "other"]) {
            assert_eq!(caller.value("before").await, Value::text("v"));
            caller.create(&format!("{name}_{kill}"), "v").await;
        }
        // The next round begins with new watches of the health.
        health = [watch_health(&replicas.one).await, watch_health(&replicas.other).await];
    }
    replicas.one.assert_alive();
    replicas.other.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_killed_during_writes_loses_no_acknowledged_change() {
    let Some(etcd) = etcd_server::shared() else { return };
    let Replicas { one, other, callers: [caller, survivor], prefix } = Replicas::over(etcd).await;
    let (acknowledged, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (caller, acknowledged) = (caller.clone(), acknowledged.clone());
        writers.spawn(async move {
            for n in 0_u64.. {
                let name = format!("w{writer}_n{n}");
                if let Err(status) = caller.secrets().create_secret(create(&name, "1")).await {
                    return gone(&status);
                }
                acknowledged.send((name.clone(), 1)).unwrap();
                if let Err(status) = caller.secrets().rotate_secret(rotate(&name, "2")).await {
                    return gone(&status);
                }
                acknowledged.send((name, 2)).unwrap();
            }
        });
    }
    drop(acknowledged);
    let mut kept = std::collections::BTreeMap::new();
    while kept.len() < 40 {
        let (name, version) = progress.recv().await.expect("the writers make progress");
        kept.insert(name, version);
    }
    // The master key is in the folder of the server that is to be killed.
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(one.data_dir.join("master.key"), key.path()).unwrap();
    let root = Credential::bearer(&one.root_key);
    tokio::task::spawn_blocking(move || one.kill()).await.unwrap();
    while let Some((name, version)) = progress.recv().await {
        kept.insert(name, version);
    }
    writers.join_all().await;

    // The remaining replica has every acknowledged change, and so has a new one.
    let launch = Launch::in_etcd(&etcd.url(), &prefix).argument("--master-key-file");
    let new = launch.argument(key.path().display().to_string()).start();
    for caller in [&survivor, &Caller::new(&new, root).await] {
        for (name, version) in &kept {
            let there = caller.get(name).await;
            assert!(there.version >= *version, "{name}: version {version} was acknowledged");
            assert_eq!(Value::of(&there), Value::text(there.version.to_string()), "{name} is half-written");
        }
        assert!(caller.names().await.len() <= kept.len() + 8);
    }
    other.stop().await;
}

async fn watch_health(server: &Server) -> Streaming<HealthCheckResponse> {
    // The watch may last longer than a call.
    let channel = endpoint(&server.url).timeout(4 * PATIENCE).connect().await.unwrap();
    let request = HealthCheckRequest { service: "strongroom.v1.SecretService".into() };
    HealthClient::new(channel).watch(request).await.unwrap().into_inner()
}

/// Waits within a bound for this status.
async fn becomes(health: &mut Streaming<HealthCheckResponse>, expected: ServingStatus) {
    let waited = tokio::time::timeout(BOUND, async {
        while health.next().await.unwrap().unwrap().status() != expected {}
    });
    waited.await.unwrap_or_else(|_| panic!("the health did not become {expected:?}"));
}

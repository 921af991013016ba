use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tonic::Code;
use uuid::Uuid;

use super::{key_status, of, rotate_master_key, rotate_namespaces};
use crate::caller::{Caller, Credential};
use crate::etcd_server::{self, Etcd};
use crate::harness::{Launch, PATIENCE, Server};
use crate::master_key::{Site, generated};
use crate::refusal::refused;
use crate::requests::{Value, create};

/// Two servers over one store, each with a key file of its own.
struct Replicas {
    site: Site,
    servers: [Server; 2],
    callers: [Caller; 2],
}

impl Replicas {
    async fn over(etcd: &Etcd, key: &str) -> Self {
        let (site, prefix) = (Site::new(), Uuid::new_v4().to_string());
        let start = |name: &str| {
            let launch = Launch::in_etcd(&etcd.url(), &prefix).argument("--master-key-file");
            launch.argument(site.file(name, key)).start()
        };
        let servers = [start("one"), start("other")];
        let root = Credential::bearer(&servers[0].root_key);
        let callers = [Caller::new(&servers[0], root.clone()).await, Caller::new(&servers[1], root).await];
        Self { site, servers, callers }
    }

    async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_the_new_key_serves_while_another_one_rekeys() {
    let Some(etcd) = etcd_server::shared() else { return };
    let old = generated();
    let replicas = Replicas::over(etcd, &old).await;
    let [one, other] = &replicas.callers;
    one.create("A", "v").await;
    let both = format!("{}{old}", generated());
    for name in ["one", "other"] {
        replicas.site.file(name, &both);
    }
    // Changes through the other replica succeed meanwhile, and both replicas see them.
    let working = {
        let other = other.clone();
        tokio::spawn(async move {
            for n in 0..30 {
                let name = format!("n{n}");
                other.create(&name, "v").await;
                other.rotate(&name, "w").await;
                assert_eq!(other.value(&name).await, Value::text("w"));
            }
        })
    };
    let rotated = rotate_master_key(one).await.unwrap();
    assert_eq!(rotated.damaged_records, 0);
    rotate_namespaces(one, of("default")).await.unwrap();
    working.await.unwrap();
    other.create("through_the_other", "v").await;
    for caller in [one, other] {
        assert_eq!(caller.value("through_the_other").await, Value::text("v"));
        assert_eq!(caller.value("A").await, Value::text("v"));
        let status = key_status(caller).await;
        assert_eq!((&status.master_key_id, status.generations.len()), (&rotated.master_key_id, 1));
    }
    // The other replica can rekey too, in commits as large as etcd takes them.
    rotate_namespaces(other, of("default")).await.unwrap();
    assert_eq!(one.value("n7").await, Value::text("w"));
    replicas.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_the_new_key_changes_nothing_and_continues_once_it_has_it() {
    let Some(etcd) = etcd_server::shared() else { return };
    let mut replicas = Replicas::over(etcd, &generated()).await;
    let [one, other] = &replicas.callers;
    let revision = one.create("A", "v").await.revision;
    let at = strongroom::api::v1::GetSecretRequest { min_revision: revision, ..crate::requests::get("A") };
    other.secrets().get_secret(at).await.unwrap();

    // The first replica writes the new key into its own file.
    let rotated = rotate_master_key(one).await.unwrap();
    one.rotate("A", "w").await;
    let refusal = other.secrets().create_secret(create("B", "v")).await;
    refused(refusal, Code::Unavailable, "STORE_UNAVAILABLE");
    assert_eq!(one.value("A").await, Value::text("w"));
    replicas.servers[1].assert_alive();

    copy(&replicas.site.path("one"), &replicas.site.path("other"));
    let [one, other] = &replicas.callers;
    let begun = Instant::now();
    while let Err(status) = other.secrets().create_secret(create("B", "v")).await {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(begun.elapsed() < PATIENCE, "the replica does not recover");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    assert_eq!(key_status(other).await.master_key_id, rotated.master_key_id);
    for caller in [one, other] {
        assert_eq!((caller.value("A").await, caller.value("B").await), (Value::text("w"), Value::text("v")));
    }
    replicas.stop().await;
}

fn copy(from: &str, to: &str) {
    fs::copy(Path::new(from), Path::new(to)).unwrap();
}

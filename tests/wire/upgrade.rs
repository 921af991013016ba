//! A rolling upgrade of three replicas. The store in etcd is one that an earlier release wrote: the records of a golden folder.
//! Clients read and change secrets through all replicas, while one replica after the other ends and is replaced. No request fails
//! for a client that tries the next replica, nothing that was acknowledged is lost or made twice, and everything of the earlier
//! release stays readable.
//!
//! The replicas that are replaced are of this build too, or of the one that `STRONGROOM_EARLIER_BIN` names: then both versions serve
//! the store side by side, and have to understand each other's records, heads and heartbeats.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcd_client::Client;
use strongroom::api::v1::{CreateSecretRequest, GetSecretRequest, GetSecretResponse, RotateSecretRequest};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::{Response, Status};
use uuid::Uuid;

use crate::caller::{Caller, Credential};
use crate::etcd_server::{self, Etcd};
use crate::golden::{
    goes_on_with_rotations, holds_rotations, holds_secrets, holds_versions, lasting, unpacked,
};
use crate::harness::{Launch, PATIENCE, Server};
use crate::refusal::gone;
use crate::requests::{Value, create, get, rotate};

const REPLICAS: usize = 3;
const CLIENTS: usize = 4;
/// How many secrets each client makes between two steps of the upgrade, at least.
const STEPS: usize = 5;
/// The namespace of what the clients make.
const OF_CLIENTS: &str = "clients";
/// Between two looks, and before a request is sent again.
const PAUSE: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_format_1_stays_readable_while_its_replicas_are_replaced() {
    let Some(etcd) = etcd_server::shared() else { return };
    let folder = unpacked("format-1");
    let site = Site::over(etcd, folder.path()).await;
    for (_server, caller) in &site.upgraded(folder.path()).await {
        holds_secrets(caller, folder.path()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_format_3_stays_readable_while_its_replicas_are_replaced() {
    let Some(etcd) = etcd_server::shared() else { return };
    let folder = unpacked("format-3");
    let site = Site::over(etcd, folder.path()).await;
    let replicas = site.upgraded(folder.path()).await;
    for (_server, caller) in &replicas {
        holds_secrets(caller, folder.path()).await;
        holds_versions(caller, folder.path()).await;
        holds_rotations(caller, folder.path()).await;
    }
    goes_on_with_rotations(&replicas[0].1, folder.path()).await;
}

/// Replicas over a store of their own.
struct Site {
    endpoint: String,
    prefix: String,
    master_key: String,
    root: Credential,
}

impl Site {
    /// A store in etcd with all records of a golden folder.
    async fn over(etcd: &Etcd, folder: &Path) -> Self {
        let prefix = format!("{}/", Uuid::new_v4());
        put_store(etcd, &prefix, &folder.join("data/store")).await;
        let root_key = std::fs::read_to_string(folder.join("data/root.key")).unwrap();
        Self {
            endpoint: etcd.url(),
            prefix,
            master_key: folder.join("data/master.key").display().to_string(),
            root: Credential::bearer(root_key.trim()),
        }
    }

    /// A replica, of another build where one is named.
    async fn replica(&self, build: Option<&str>) -> (Server, Caller) {
        let launch = lasting(Launch::in_etcd(&self.endpoint, &self.prefix));
        let launch = launch.argument("--master-key-file").argument(&*self.master_key);
        let launch = match build {
            Some(binary) => launch.built_as(binary),
            None => launch,
        };
        // The start is waited for on another thread: this one runs the clients.
        let server = tokio::task::spawn_blocking(|| launch.start()).await.unwrap();
        let caller = Caller::new(&server, self.root.clone()).await;
        (server, caller)
    }

    /// Starts replicas, and replaces all of them while clients work. Returns the new ones.
    async fn upgraded(&self, folder: &Path) -> Vec<(Server, Caller)> {
        let earlier = std::env::var("STRONGROOM_EARLIER_BIN").ok();
        let (mut former, work) = (Vec::new(), Arc::new(Work::default()));
        for _ in 0..REPLICAS {
            // The first one may have to change what an earlier format lacks.
            let (server, caller) = self.replica(earlier.as_deref()).await;
            holds_secrets(&caller, folder).await;
            former.push(server);
            work.replicas.lock().unwrap().push(caller);
        }
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let work = work.clone();
            clients.spawn(async move { work.of(client).await });
        }
        work.goes_on().await;
        let mut replicas = Vec::new();
        for (place, former) in former.into_iter().enumerate() {
            former.stop().await;
            work.goes_on().await;
            let (server, caller) = self.replica(None).await;
            holds_secrets(&caller, folder).await;
            work.replicas.lock().unwrap()[place] = caller.clone();
            replicas.push((server, caller));
            work.goes_on().await;
        }
        work.ends.store(true, Ordering::SeqCst);
        let made: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
        for (number, name) in made.iter().enumerate() {
            let (_, caller) = &replicas[number % REPLICAS];
            has_been_rotated_once(caller.secrets().get_secret(of_clients(name)).await);
        }
        replicas
    }
}

/// What the clients share.
#[derive(Default)]
struct Work {
    replicas: Mutex<Vec<Caller>>,
    /// How many requests were sent, and how many secrets were made.
    sent: AtomicUsize,
    made: AtomicUsize,
    ends: AtomicBool,
}

impl Work {
    /// Waits until the clients have made some secrets more.
    async fn goes_on(&self) {
        let (from, since) = (self.made.load(Ordering::SeqCst), Instant::now());
        while self.made.load(Ordering::SeqCst) < from + STEPS * CLIENTS {
            assert!(since.elapsed() < PATIENCE, "the clients do not get on");
            sleep(PAUSE).await;
        }
    }

    /// The work of one client: each request goes to another replica. Returns the names of what it made.
    async fn of(&self, client: usize) -> Vec<String> {
        let mut made = Vec::new();
        while !self.ends.load(Ordering::SeqCst) {
            let name = format!("c{client}_n{}", made.len());
            let request = CreateSecretRequest {
                namespace: OF_CLIENTS.into(),
                request_id: Uuid::new_v4().to_string(),
                ..create(&name, "one")
            };
            self.served(|replica| {
                let request = request.clone();
                async move { replica.secrets().create_secret(request).await }
            })
            .await;
            let request = RotateSecretRequest {
                namespace: OF_CLIENTS.into(),
                request_id: Uuid::new_v4().to_string(),
                ..rotate(&name, "two")
            };
            self.served(|replica| {
                let request = request.clone();
                async move { replica.secrets().rotate_secret(request).await }
            })
            .await;
            let read = |replica: Caller| {
                let request = of_clients(&name);
                async move { replica.secrets().get_secret(request).await }
            };
            has_been_rotated_once(Ok(self.served(read).await));
            made.push(name);
            self.made.fetch_add(1, Ordering::SeqCst);
        }
        made
    }

    /// The success of a request, which goes to the next replica when one ends.
    async fn served<T, F>(&self, send: impl Fn(Caller) -> F) -> Response<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let since = Instant::now();
        loop {
            let number = self.sent.fetch_add(1, Ordering::SeqCst);
            let replica = self.replicas.lock().unwrap()[number % REPLICAS].clone();
            match send(replica).await {
                Ok(reply) => return reply,
                Err(status) => gone(&status),
            }
            assert!(since.elapsed() < PATIENCE, "no replica serves");
            sleep(PAUSE).await;
        }
    }
}

fn of_clients(name: &str) -> GetSecretRequest {
    GetSecretRequest { namespace: OF_CLIENTS.into(), ..get(name) }
}

#[track_caller]
fn has_been_rotated_once(reply: Result<Response<GetSecretResponse>, Status>) {
    let reply = reply.unwrap().into_inner();
    assert_eq!((reply.version, Value::of(&reply.secret.unwrap())), (2, Value::text("two")));
}

/// Puts the records of a sled store into etcd, as `docs/format.md` describes both. The head has no author, as in releases before
/// replicas took turns.
async fn put_store(etcd: &Etcd, prefix: &str, sled: &Path) {
    const SEGMENT: usize = 8 << 20;
    const GENERATION: [u8; 8] = 1_u64.to_be_bytes();
    let key = |kind: &str, rest: &[u8]| [prefix.as_bytes(), kind.as_bytes(), rest].concat();
    let tree = sled::Config::new().path(sled).segment_size(SEGMENT).open().unwrap();
    let mut puts = Vec::new();
    for record in tree.iter() {
        let (store_key, stored) = record.unwrap();
        if *store_key != [0] {
            let (_revision, record) = stored.split_first_chunk::<8>().unwrap();
            puts.push((key("data/", &[&GENERATION, &*store_key].concat()), record.to_vec()));
        }
    }
    assert!(!puts.is_empty(), "a golden folder without records");
    puts.push((key("current", &[]), [&[1], &GENERATION[..]].concat()));
    puts.push((key("head/", &GENERATION), Vec::new()));
    let mut client = Client::connect([etcd.url()], None).await.unwrap();
    for (key, value) in puts {
        client.put(key, value, None).await.unwrap();
    }
}

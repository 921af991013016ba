//! Servers are killed while they are written to and watched: each acknowledged change is told once, and in order.
//!
//! `STRONGROOM_WATCH_KILLS` is the number of kills.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom::api::v1::watch_secrets_response::Step;
use strongroom::api::v1::{SecretEvent, SecretEventType};
use tokio::task::JoinSet;

use super::{Watching, after, watch};
use crate::caller::{Caller, endpoint};
use crate::harness::{Launch, Server};
use crate::refusal::gone;
use crate::requests::{create, rotate};

/// How many write at once.
const WRITERS: usize = 4;
/// How many events are told before a server is killed.
const BETWEEN: usize = 25;

/// The versions that acknowledged changes have made, by their revisions and the names: over etcd, a commit holds changes of several
/// writers.
type Made = BTreeMap<(u64, String), u32>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_acknowledged_change_is_told_once_and_in_order_over_kills() {
    let folder = tempfile::tempdir().unwrap();
    over_kills(|| Launch::durable(folder.path())).await;
}

/// The same over etcd, which goes on while the server is killed.
#[cfg(feature = "etcd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_acknowledged_change_is_told_once_and_in_order_over_kills_of_a_replica() {
    let Some(etcd) = crate::etcd_server::shared() else { return };
    let (folder, prefix) = (tempfile::tempdir().unwrap(), uuid::Uuid::new_v4().to_string());
    let url = etcd.url();
    let arguments = ["--store", "etcd", "--etcd-endpoints", &*url, "--etcd-prefix", &*prefix];
    over_kills(|| arguments.into_iter().fold(Launch::durable(folder.path()), Launch::argument)).await;
}

/// Kills a server again and again, and starts it over the same data, while it is written to and watched.
async fn over_kills(launch: impl Fn() -> Launch) {
    let kills: usize = std::env::var("STRONGROOM_WATCH_KILLS").map_or(3, |kills| kills.parse().unwrap());
    let mut server = launch().start();
    let (first, _) = Watching::synced(&Caller::root(&server).await, watch()).await;
    let mut resume = first.resume;
    drop(first);
    let (mut made, mut told): (Made, Vec<SecretEvent>) = (Made::new(), Vec::new());
    for round in 0..kills {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(caller(&server).await, format!("w{round}_{writer}"), stop.clone()));
        }
        let mut watching = Watching::begin(&caller(&server).await, after(resume)).await.unwrap();
        let until = told.len() + BETWEEN;
        while told.len() < until {
            if let Step::Event(event) = watching.step().await.unwrap() {
                told.push(event);
            }
            resume = watching.resume;
        }
        server.kill();
        stop.store(true, Ordering::SeqCst);
        while let Some(of_writer) = writers.join_next().await {
            made.extend(of_writer.unwrap());
        }
        // What still arrives counts too: the caller has seen it.
        while let Ok(Some(step)) = watching.steps.message().await {
            if let Some(Step::Event(event)) = step.step {
                resume = event.resume_revision;
                told.push(event);
            }
        }
        // Of a commit that was told in part, all is told again.
        told.retain(|event| event.revision <= resume);
        server = launch().start();
    }
    let root = caller(&server).await;
    let last = root.create("the_last", "v").await;
    made.insert((last.revision, "the_last".into()), 1);
    let (_, rest) = Watching::synced(&root, after(resume)).await;
    told.extend(rest);

    assert!(told.is_sorted_by_key(|event| event.revision), "told out of order");
    let place = |event: &SecretEvent| (event.revision, event.secret.as_ref().unwrap().name.clone());
    let by_place: BTreeMap<_, _> = told.iter().map(|event| (place(event), event)).collect();
    assert_eq!(by_place.len(), told.len(), "told twice");
    for (at, version) in &made {
        let event = by_place.get(at).unwrap_or_else(|| panic!("{at:?} was not told"));
        assert_eq!(event.secret.as_ref().unwrap().version, *version);
    }
    // Every version that there is was told, acknowledged or not.
    let mut versions: BTreeMap<String, u32> = BTreeMap::new();
    for event in &told {
        let secret = event.secret.as_ref().unwrap();
        let before = versions.insert(secret.name.clone(), secret.version);
        assert_eq!(secret.version, before.unwrap_or_default() + 1);
        let created = secret.version == 1;
        assert_eq!(event.r#type(), if created { SecretEventType::Created } else { SecretEventType::Rotated });
    }
    for name in root.names().await {
        assert_eq!(root.get(&name).await.version, versions[&name]);
    }
}

/// A caller on a connection of its own.
async fn caller(server: &Server) -> Caller {
    let channel = endpoint(&server.url).connect().await.expect("the server accepts connections");
    Caller::over(channel, crate::caller::Credential::bearer(&server.root_key))
}

/// Creates a secret and rotates it again and again, until the server is gone. Returns the acknowledged changes.
async fn write(caller: Caller, name: String, stop: Arc<AtomicBool>) -> Made {
    let (mut made, mut secrets) = (Made::new(), caller.secrets());
    match secrets.create_secret(create(&name, "v")).await {
        Ok(reply) => drop(made.insert((reply.into_inner().revision, name.clone()), 1)),
        Err(status) => {
            gone(&status);
            return made;
        }
    }
    while !stop.load(Ordering::SeqCst) {
        match secrets.rotate_secret(rotate(&name, "w")).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                made.insert((reply.revision, name.clone()), reply.version);
            }
            Err(status) => {
                gone(&status);
                return made;
            }
        }
    }
    made
}

//! Replicas over one etcd answer as one: what one of them has acknowledged, every other one knows at once. A replica that is cut off
//! from etcd says that it does not know, and a process that was stopped does not answer from before.

mod causes;
mod faults;
mod history;
mod packets;

use std::time::Instant;

use strongroom::api::v1::{
    BatchGetSecretsRequest, Consistency, CreateBindingRequest, CreateSecretRequest, DeleteBindingRequest,
    DeleteSecretRequest, GetSecretRequest, ListSecretVersionsRequest, ListSecretsRequest,
    ResolveReferencesRequest, RevokeApiKeyRequest, RotateSecretRequest, View, WatchSecretsRequest,
    WhoAmIRequest,
};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::caller::{Caller, Credential, Room};
use crate::etcd_server::{self, Etcd};
use crate::harness::{Launch, PATIENCE, Server};
use crate::proxy::{Link, Proxy};
use crate::refusal::{denied, invalid, not_found, refused};
use crate::requests::{Value, create, delete, get, list, rename, rotate};

/// Two servers over one store, and a caller of each with the root key.
struct Replicas {
    servers: [Server; 2],
    callers: [Caller; 2],
}

impl Replicas {
    async fn over(etcd: &Etcd) -> Self {
        Self::with_second(etcd, &etcd.url(), "").await
    }

    /// The second one reaches etcd at this URL, and has this configuration file.
    async fn with_second(etcd: &Etcd, second: &str, configuration: &str) -> Self {
        let prefix = Uuid::new_v4().to_string();
        let one = Launch::in_etcd(&etcd.url(), &prefix).start();
        let key = one.data_dir.join("master.key").display().to_string();
        let other = Launch::in_etcd(second, &prefix).argument("--master-key-file").argument(key);
        let other = other.configured(configuration).start();
        let root = Credential::bearer(&one.root_key);
        let callers = [Caller::new(&one, root.clone()).await, Caller::new(&other, root).await];
        Self { servers: [one, other], callers }
    }
}

fn cached_list() -> ListSecretsRequest {
    ListSecretsRequest { consistency: Consistency::Cached.into(), ..list() }
}

fn fresh_id() -> String {
    Uuid::new_v4().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_has_acknowledged_the_other_one_knows_at_once() {
    let Some(etcd) = etcd_server::shared() else { return };
    let replicas = Replicas::over(etcd).await;
    let mut rooms = JoinSet::new();
    for room in 0..4 {
        let callers = replicas.callers.clone();
        rooms.spawn(async move {
            for round in 0..60 {
                let [here, there] = [0, 1].map(|one| &callers[(round + one) % 2]);
                let (name, renamed) = (format!("r{room}_n{round}"), format!("r{room}_m{round}"));
                here.create(&name, "one").await;
                assert_eq!(there.value(&name).await, Value::text("one"));
                there.rotate(&name, "two").await;
                assert_eq!(here.versions(&name).await.len(), 2);
                here.disable(&name, 1).await;
                there.update(rename(&name, &renamed)).await;
                not_found(here.secrets().get_secret(get(&name)).await, &name);
                let listed = ListSecretsRequest { name_prefix: renamed.clone(), ..list() };
                assert_eq!(here.names_of(listed.clone()).await, [renamed.as_str()]);
                here.delete(&renamed).await;
                not_found(there.secrets().rotate_secret(rotate(&renamed, "three")).await, &renamed);
                assert!(there.names_of(listed).await.is_empty());
                there.create(&renamed, "another").await;
                assert_eq!(here.value(&renamed).await, Value::text("another"));
            }
        });
    }
    rooms.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_and_its_rights_count_at_every_replica_from_the_moment_they_were_acknowledged() {
    let Some(etcd) = etcd_server::shared() else { return };
    let replicas = Replicas::over(etcd).await;
    replicas.callers[0].create("a", "v").await;
    for round in 0..40 {
        let [here, there] = [0, 1].map(|one| &replicas.callers[(round + one) % 2]);
        let server = &replicas.servers[(round + 1) % 2];
        let (key, caller) = here.make_key("ordinary", "team-a").await;
        let caller = caller.at(server).await;
        caller.access().who_am_i(WhoAmIRequest {}).await.unwrap();
        let of_default = GetSecretRequest { namespace: "default".into(), ..get("a") };
        denied(caller.secrets().get_secret(of_default.clone()).await);
        let binding = CreateBindingRequest {
            principal: format!("key:{}", key.id),
            role: "reader".into(),
            namespace_pattern: "default".into(),
            ..Default::default()
        };
        let bound = here.access().create_binding(binding).await.unwrap().into_inner().binding.unwrap();
        caller.secrets().get_secret(of_default.clone()).await.unwrap();
        here.access().delete_binding(DeleteBindingRequest { id: bound.id }).await.unwrap();
        denied(caller.secrets().get_secret(of_default).await);
        there.access().revoke_api_key(RevokeApiKeyRequest { id: key.id.clone() }).await.unwrap();
        let here = caller.at(&replicas.servers[round % 2]).await;
        for caller in [&here, &caller] {
            refused(caller.secrets().list_secrets(list()).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
            let asked = caller.access().who_am_i(WhoAmIRequest {}).await;
            refused(asked, Code::Unauthenticated, "CREDENTIAL_INVALID");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_id_at_both_replicas_at_once_has_one_success_that_both_tell() {
    let Some(etcd) = etcd_server::shared() else { return };
    let Replicas { servers: _servers, callers: [one, other] } = Replicas::over(etcd).await;
    for round in 0..80 {
        let name = format!("n{round}");
        let request = CreateSecretRequest { request_id: fresh_id(), ..create(&name, "v") };
        let (mut here, mut there) = (one.secrets(), other.secrets());
        let (made, also) =
            tokio::join!(here.create_secret(request.clone()), there.create_secret(request.clone()));
        let [made, also] = [made, also].map(|reply| {
            let reply = reply.unwrap().into_inner();
            (reply.revision, reply.secret.unwrap())
        });
        assert_eq!((made.0, &made.1.id), (also.0, &also.1.id));

        let etag = made.1.etag;
        let request = RotateSecretRequest { etag, request_id: fresh_id(), ..rotate(&name, "w") };
        let (made, also) =
            tokio::join!(here.rotate_secret(request.clone()), there.rotate_secret(request.clone()));
        let [made, also] = [made, also].map(|reply| {
            let reply = reply.unwrap().into_inner();
            (reply.revision, reply.version)
        });
        assert_eq!((made, made.1), (also, 2));

        let request = DeleteSecretRequest { request_id: fresh_id(), ..delete(&name) };
        let (made, also) =
            tokio::join!(here.delete_secret(request.clone()), there.delete_secret(request.clone()));
        let [made, also] = [made, also].map(|reply| {
            let reply = reply.unwrap().into_inner();
            (reply.revision, reply.id, reply.purge_at)
        });
        assert_eq!(made, also);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_cut_off_answers_cached_reads_for_a_time_and_then_nothing() {
    let Some(etcd) = etcd_server::shared() else { return };
    let port = etcd.url().rsplit(':').next().unwrap().parse().unwrap();
    // One replica may be far behind, so that what it still answers does not depend on the speed of this machine.
    let proxy = Proxy::to(port);
    let patient = Replicas::with_second(etcd, &proxy.url(), "cached_reads_max_age = '10m'").await;
    patient.callers[0].create("a", "v").await;
    let caller = &patient.callers[1];
    assert_eq!(caller.names_of(list()).await, ["a"]);
    for link in [Link::Silent, Link::Broken] {
        proxy.set(link);
        unavailable(caller.secrets().list_secrets(list()).await);
        unavailable(caller.secrets().get_secret(get("a")).await);
        unavailable(caller.access().who_am_i(WhoAmIRequest {}).await);
        unavailable(caller.secrets().delete_secret(delete("not_there")).await);
        unavailable(
            Caller::new(&patient.servers[1], unknown_key()).await.secrets().list_secrets(list()).await,
        );
        // What it knows, it tells to those who ask for it.
        let metadata = GetSecretRequest { view: View::Metadata.into(), ..cached_get("a") };
        assert_eq!(caller.secrets().get_secret(metadata).await.unwrap().into_inner().version, 1);
        assert_eq!(caller.names_of(cached_list()).await, ["a"]);
        // Values are in etcd.
        unavailable(caller.secrets().get_secret(cached_get("a")).await);
        proxy.set(Link::Open);
        serves_again(caller).await;
    }

    let proxy = Proxy::to(port);
    let hasty = Replicas::with_second(etcd, &proxy.url(), "cached_reads_max_age = '2s'").await;
    let [connected, cut] = &hasty.callers;
    connected.create("a", "v").await;
    let (key, revoked) = connected.make_key("ordinary", "default").await;
    let revoked = revoked.at(&hasty.servers[1]).await;
    assert_eq!(revoked.names_of(cached_list()).await, ["a"]);
    let watch = WatchSecretsRequest { snapshot: true, ..Default::default() };
    let mut watch = revoked.secrets().watch_secrets(watch).await.unwrap().into_inner();
    proxy.set(Link::Silent);
    connected.access().revoke_api_key(RevokeApiKeyRequest { id: key.id }).await.unwrap();
    let begun = Instant::now();
    let status = loop {
        match revoked.secrets().list_secrets(cached_list()).await {
            Ok(_) => assert!(begun.elapsed() < PATIENCE, "a key that was revoked is served without end"),
            Err(status) => break status,
        }
    };
    unavailable::<()>(Err(status));
    unavailable(revoked.access().who_am_i(WhoAmIRequest {}).await);
    unavailable(cut.secrets().list_secrets(cached_list()).await);
    let ended = loop {
        if let Err(status) = watch.next().await.expect("the watch ends with an error") {
            break status;
        }
    };
    unavailable::<()>(Err(ended));
    proxy.set(Link::Open);
    serves_again(cut).await;
    let late = revoked.secrets().list_secrets(list()).await;
    refused(late, Code::Unauthenticated, "CREDENTIAL_INVALID");
    cut.create("after", "v").await;
    assert_eq!(connected.value("after").await, Value::text("v"));
}

/// A replica that was stopped has not seen what the others did in the meantime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_stopped_and_goes_on_answers_nothing_from_before() {
    let Some(etcd) = etcd_server::shared() else { return };
    let replicas = Replicas::over(etcd).await;
    let [running, _] = &replicas.callers;
    let frozen = &replicas.servers[1];
    running.create("a", "old").await;
    for round in 0..5 {
        let (key, caller) = running.make_key("ordinary", "default").await;
        let mut readers = Vec::new();
        for _ in 0..32 {
            let reader = caller.at(frozen).await;
            assert_eq!(reader.value("a").await, Value::text(if round == 0 { "old" } else { "new" }));
            readers.push(reader);
        }
        frozen.signal("STOP");
        while !etcd_server::has_stopped(&frozen.process().to_string()) {
            std::thread::yield_now();
        }
        running.rotate("a", "new").await;
        running.access().revoke_api_key(RevokeApiKeyRequest { id: key.id }).await.unwrap();
        let mut reading = JoinSet::new();
        for (number, reader) in readers.into_iter().enumerate() {
            reading.spawn(async move {
                match number % 3 {
                    0 => reader.secrets().get_secret(get("a")).await.map(drop),
                    1 => reader.access().who_am_i(WhoAmIRequest {}).await.map(drop),
                    _ => reader.secrets().list_secrets(list()).await.map(drop),
                }
            });
        }
        frozen.signal("CONT");
        for read in reading.join_all().await {
            let read = read.map(tonic::Response::new);
            refused(read, Code::Unauthenticated, "CREDENTIAL_INVALID");
        }
        assert_eq!(replicas.callers[1].value("a").await, Value::text("new"));
    }
}

#[tokio::test]
async fn a_consistency_that_does_not_exist_is_refused_and_the_others_are_served() {
    let room = Room::open().await;
    room.create("a", "v").await;
    for known in [Consistency::Unspecified, Consistency::Linearizable, Consistency::Cached] {
        for refusal in reads(&room, known.into()).await {
            assert!(refusal.is_none(), "{known:?}: {refusal:?}");
        }
    }
    for unknown in [-1, 3, i32::MAX] {
        for refusal in reads(&room, unknown).await {
            invalid::<()>(Err(refusal.expect("an unknown number is refused")), &["consistency"]);
        }
    }
}

/// The refusals of all reads that have the field, with this number in it.
async fn reads(room: &Room, consistency: i32) -> Vec<Option<Status>> {
    let (name, mut secrets) = ("a".to_owned(), room.secrets());
    let names = vec![name.clone()];
    let batch = BatchGetSecretsRequest { names, consistency, ..Default::default() };
    let versions = ListSecretVersionsRequest { name, consistency, ..Default::default() };
    let references = ResolveReferencesRequest { consistency, ..Default::default() };
    let inspected = ResolveReferencesRequest { validate_only: true, ..references.clone() };
    let metadata = View::Metadata.into();
    vec![
        secrets.get_secret(GetSecretRequest { consistency, ..get("a") }).await.err(),
        secrets.get_secret(GetSecretRequest { consistency, view: metadata, ..get("a") }).await.err(),
        secrets.batch_get_secrets(batch.clone()).await.err(),
        secrets.batch_get_secrets(BatchGetSecretsRequest { view: metadata, ..batch }).await.err(),
        secrets.list_secrets(ListSecretsRequest { consistency, ..list() }).await.err(),
        secrets.list_secret_versions(versions).await.err(),
        room.references().resolve_references(references).await.err(),
        room.references().resolve_references(inspected).await.err(),
    ]
}

fn cached_get(name: &str) -> GetSecretRequest {
    GetSecretRequest { consistency: Consistency::Cached.into(), ..get(name) }
}

/// A credential in the right form that no server has made.
fn unknown_key() -> Credential {
    let stranger = Launch::in_memory().start();
    Credential::bearer(&stranger.root_key)
}

/// Asserts the refusal of a replica that does not know the newest state.
#[track_caller]
fn unavailable<T>(reply: Result<T, Status>) {
    let status = refused(reply.map(tonic::Response::new), Code::Unavailable, "STORE_UNAVAILABLE");
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
}

/// Waits until a replica serves again, for a bounded time.
async fn serves_again(caller: &Caller) {
    let begun = Instant::now();
    while let Err(status) = caller.secrets().list_secrets(list()).await {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(begun.elapsed() < PATIENCE, "the replica does not recover");
    }
}

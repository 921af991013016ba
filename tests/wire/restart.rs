//! Acknowledged changes survive a stop and a kill, also during writes.

use std::collections::BTreeMap;

use strongroom::api::v1::{
    ApiKey, CreateApiKeyRequest, CreateSecretRequest, DeleteSecretRequest, ListApiKeysRequest,
    ListSecretsRequest, RevokeApiKeyRequest, RotateSecretRequest, Secret, UpdateSecretRequest,
};
use tokio::task::JoinSet;
use tonic::Code;
use uuid::Uuid;

use crate::caller::{Caller, Credential};
use crate::harness::{Launch, PATIENCE, Server};
use crate::refusal::{gone, not_found, refused};
use crate::requests::{
    MAX_VALUE, Value, binary, create, delete, describe, get, list, pairs, random_uuid, rename, rotate,
};

#[tokio::test]
async fn everything_is_there_after_a_stop_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let made = root.access().create_api_key(key("ordinary", "team-a")).await.unwrap().into_inner();
    let ordinary = Credential::bearer(&made.credential);
    let revoked = root.access().create_api_key(key("revoked", "team-a")).await.unwrap().into_inner();
    let id = revoked.api_key.unwrap().id;
    root.access().revoke_api_key(RevokeApiKeyRequest { id }).await.unwrap();
    let revoked = Credential::bearer(&revoked.credential);
    furnish(&root.with(ordinary.clone())).await;
    let (root_key, before) = (server.root_key.clone(), State::of(&root).await);
    assert_eq!(before.secrets.len(), 6);

    server.stop().await;
    let server = Launch::durable(folder.path()).start();
    assert_eq!(server.root_key, root_key);
    assert_eq!(State::of(&Caller::root(&server).await).await, before);

    server.kill();
    let server = Launch::durable(folder.path()).start();
    assert_eq!(server.root_key, root_key);
    let root = Caller::root(&server).await;
    assert_eq!(State::of(&root).await, before);

    // The API keys are accepted and refused as before.
    assert_eq!(root.with(ordinary).names().await.len(), 6);
    let gone = root.with(revoked).secrets().get_secret(get("renamed")).await;
    refused(gone, Code::Unauthenticated, "CREDENTIAL_INVALID");
    server.stop().await;
}

#[tokio::test]
async fn versions_and_revisions_continue_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    root.create("A", "one").await;
    let before = root.rotate("A", "two").await;
    server.kill();

    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let request = RotateSecretRequest { etag: before.etag, ..rotate("A", "three") };
    let after = root.secrets().rotate_secret(request).await.unwrap().into_inner().secret.unwrap();
    assert_eq!((after.version, &after.id), (3, &before.id));
    assert!(after.revision > before.revision, "revisions go on");
    assert!(crate::requests::nanos(after.updated_at) > crate::requests::nanos(before.updated_at));
    assert_eq!(root.value("A").await, Value::text("three"));
    crate::refusal::taken(root.secrets().create_secret(create("A", "v")).await, "A");
    server.stop().await;
}

#[tokio::test]
async fn deletions_and_renames_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    root.create("deleted", "v").await;
    root.create("old", "v").await;
    root.update(rename("old", "new")).await;
    root.delete("deleted").await;
    server.kill();

    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    assert_eq!(root.names().await, ["new"]);
    not_found(root.secrets().get_secret(get("deleted")).await, "deleted");
    not_found(root.secrets().get_secret(get("old")).await, "old");
    root.create("deleted", "again").await;
    root.create("old", "again").await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_id_is_remembered_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let mut secrets = Caller::root(&server).await.secrets();
    let id = || Uuid::new_v4().to_string();
    let creation = CreateSecretRequest { request_id: id(), ..create("A", "v") };
    let generation = CreateSecretRequest {
        value: None,
        generate: random_uuid(),
        return_value: true,
        request_id: id(),
        ..create("B", "")
    };
    let change = UpdateSecretRequest { request_id: id(), ..rename("A", "C") };
    let rotation = RotateSecretRequest { request_id: id(), ..rotate("C", "w") };
    let deletion = DeleteSecretRequest { request_id: id(), ..delete("C") };
    let created = secrets.create_secret(creation.clone()).await.unwrap().into_inner();
    let generated = secrets.create_secret(generation.clone()).await.unwrap().into_inner();
    let changed = secrets.update_secret(change.clone()).await.unwrap().into_inner();
    let rotated = secrets.rotate_secret(rotation.clone()).await.unwrap().into_inner();
    let deleted = secrets.delete_secret(deletion.clone()).await.unwrap().into_inner();
    server.kill();

    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let mut secrets = root.secrets();
    let told = |secret: Option<Secret>| {
        secret.map(|secret| (secret.id, secret.version, secret.revision, secret.etag))
    };
    let again = secrets.create_secret(creation.clone()).await.unwrap().into_inner();
    assert_eq!((told(again.secret), again.revision), (told(created.secret), created.revision));
    let again = secrets.create_secret(generation).await.unwrap().into_inner();
    assert_eq!(Value::of(again.secret.as_ref().unwrap()), Value::Redacted);
    assert_eq!((told(again.secret), again.revision), (told(generated.secret), generated.revision));
    let again = secrets.update_secret(change).await.unwrap().into_inner();
    assert_eq!((told(again.secret), again.revision), (told(changed.secret), changed.revision));
    let again = secrets.rotate_secret(rotation).await.unwrap().into_inner();
    assert_eq!((told(again.secret), again.version), (told(rotated.secret), 2));
    assert_eq!(secrets.delete_secret(deletion).await.unwrap().into_inner(), deleted);
    assert_eq!(root.names().await, ["B"]);

    let other = CreateSecretRequest { description: "another".into(), ..creation };
    refused(secrets.create_secret(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_writes_loses_no_acknowledged_change_and_leaves_none_half_made() {
    during_writes(|server| async { drop(server.kill()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_during_writes_ends_well_and_loses_no_acknowledged_change() {
    during_writes(|server| async { drop(server.stop().await) }).await;
}

/// Ends a server during creates and rotations, and compares the acknowledged changes with the store.
async fn during_writes<F: Future<Output = ()> + Send + 'static>(end: impl FnOnce(Server) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let (acknowledged, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (caller, acknowledged) = (root.clone(), acknowledged.clone());
        writers.spawn(async move {
            // Each writer goes on until the server is gone.
            for n in 0_u64.. {
                let name = format!("w{writer}_n{n}");
                let value = format!("value 1 of {name}");
                match caller.secrets().create_secret(create(&name, &value)).await {
                    Ok(_) => acknowledged.send((name.clone(), 1)).unwrap(),
                    Err(status) => return gone(&status),
                }
                match caller.secrets().rotate_secret(rotate(&name, &format!("value 2 of {name}"))).await {
                    Ok(_) => acknowledged.send((name, 2)).unwrap(),
                    Err(status) => return gone(&status),
                }
            }
        });
    }
    drop(acknowledged);

    let mut kept = BTreeMap::new();
    while kept.len() < 40 {
        let (name, version) = progress.recv().await.expect("the writers make progress");
        kept.insert(name, version);
    }
    let ended = tokio::spawn(end(server));
    tokio::time::timeout(PATIENCE, async {
        while let Some((name, version)) = progress.recv().await {
            kept.insert(name, version);
        }
    })
    .await
    .expect("the writers learn that the server is gone");
    ended.await.unwrap();
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }

    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let there = State::of(&root).await.secrets;
    for (name, version) in &kept {
        let secret = there.iter().find(|secret| secret.name == *name);
        let secret = secret.unwrap_or_else(|| panic!("{name} was acknowledged and is not there"));
        assert!(
            secret.version >= *version,
            "{name}: version {version} was acknowledged, {} is there",
            secret.version
        );
    }
    for secret in &there {
        let whole = format!("value {} of {}", secret.version, secret.name);
        assert_eq!(Value::of(secret), Value::text(whole), "{} is half-written", secret.name);
    }
    // At most one request of each writer can have been made and not acknowledged.
    assert!(there.len() <= kept.len() + 8, "{} there, {} acknowledged", there.len(), kept.len());
    root.create("and_on_it_goes", "v").await;
    server.stop().await;
}

/// Everything that a caller with the root key can see of the namespaces `default` and `team-a`.
#[derive(Debug, PartialEq)]
struct State {
    secrets: Vec<Secret>,
    values: Vec<Value>,
    keys: Vec<ApiKey>,
}

impl State {
    async fn of(root: &Caller) -> Self {
        let mut secrets = Vec::new();
        for namespace in ["default", "team-a"] {
            let mut request = ListSecretsRequest { namespace: namespace.into(), limit: Some(1000), ..list() };
            loop {
                let page = root.list(request.clone()).await;
                for item in page.items {
                    let mut request = get(&item.name);
                    request.namespace = namespace.into();
                    let read = root.secrets().get_secret(request).await.unwrap().into_inner().secret.unwrap();
                    assert_eq!(Secret { value: item.value.clone(), ..read.clone() }, item);
                    secrets.push(read);
                }
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
        }
        let values = secrets.iter().map(Value::of).collect();
        let mut keys =
            root.access().list_api_keys(ListApiKeysRequest::default()).await.unwrap().into_inner().items;
        // A use is stored later, at the latest when the server stops.
        keys.iter_mut().for_each(|key| key.last_used_at = None);
        Self { secrets, values, keys }
    }
}

/// Makes one secret of each kind, through every kind of change.
async fn furnish(caller: &Caller) {
    caller.create("plain", "value").await;
    caller.create("empty", "").await;
    let everything = CreateSecretRequest {
        description: "what for".into(),
        metadata: pairs(&[("owner", "payments"), ("Ünï", "\0")]),
        value: binary((0..=255).collect::<Vec<u8>>()),
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

fn key(name: &str, home_namespace: &str) -> CreateApiKeyRequest {
    CreateApiKeyRequest { name: name.into(), home_namespace: home_namespace.into(), ..Default::default() }
}

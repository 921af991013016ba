use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strongroom::api::v1::{
    CreateSecretRequest, CreateSecretResponse, ListSecretsRequest, RotateSecretRequest, UpdateSecretRequest,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{key_status, keys_in, of, of_all, rotate_master_key, rotate_namespaces};
use crate::caller::{Caller, names};
use crate::harness::Launch;
use crate::requests::{Value, create, describe, list, rotate};

const ROTATIONS: u32 = 5;
const STEADY: usize = 40;

/// Etags, a page token and a request from before the rekeys, to be used after them.
struct Before {
    etags: Vec<String>,
    page_token: String,
    created: (CreateSecretRequest, CreateSecretResponse),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_during_rekeys_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let (_, team) = root.make_key("team", "team-a").await;
    let mut before = Vec::new();
    for caller in [&root, &team] {
        before.push(furnish(caller).await);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for (lane, caller) in [&root, &team, &root, &team].into_iter().enumerate() {
        load.spawn(change(caller.clone(), lane, stop.clone()));
    }
    for caller in [&root, &team] {
        load.spawn(read(caller.clone(), stop.clone()));
    }
    for round in 1..=ROTATIONS {
        let rotated = rotate_master_key(&root).await.unwrap();
        assert_eq!((rotated.generation, rotated.damaged_records), (round + 1, 0));
        let of_team = rotate_namespaces(&root, of("team-a")).await.unwrap();
        let of_all = rotate_namespaces(&root, of_all()).await.unwrap();
        let generations: Vec<_> = of_team.iter().chain(&of_all).map(|of| of.generation).collect();
        assert_eq!(generations, [2 * round, round + 1, 2 * round + 1]);
        assert!(of_team.iter().chain(&of_all).all(|of| of.damaged_records == 0));
    }
    stop.store(true, Ordering::SeqCst);
    let (mut requests, mut kept) = (0, Vec::new());
    for done in load.join_all().await {
        requests += done.requests;
        kept.extend(done.kept);
    }
    let said = format!(
        "rotation: {ROTATIONS} of the master key and {} of namespaces' keys under {requests} requests, 0 failed\n",
        3 * ROTATIONS
    );
    let _ = std::io::stderr().write_all(said.as_bytes());
    assert!(requests > 100, "{requests} requests are no load");

    for (caller, before) in [&root, &team].into_iter().zip(&before) {
        still_good(caller, before).await;
    }
    let file = folder.path().join("master.key");
    server.stop().await;
    let keys = keys_in(&file);
    assert_eq!(keys.len(), 1 + ROTATIONS as usize);
    // The newest key alone opens everything. All older keys together open nothing.
    std::fs::write(&file, &keys[0]).unwrap();
    let server = Launch::durable(folder.path()).start();
    let callers = [root.at(&server).await, team.at(&server).await];
    for Kept { lane, name, values } in &kept {
        let caller = &callers[lane % 2];
        for (version, value) in (1..).zip(values) {
            assert_eq!(caller.version(name, version).await, Value::text(value), "{name} {version}");
        }
    }
    assert_eq!(key_status(&callers[0]).await.generations, [ROTATIONS + 1]);
    server.stop().await;
    std::fs::write(&file, keys[1..].concat()).unwrap();
    let said = Launch::durable(folder.path()).refused().all();
    assert!(said.contains("does not hold the master key"), "{said}");
}

async fn furnish(caller: &Caller) -> Before {
    let mut etags = Vec::new();
    for n in 0..STEADY {
        etags.push(caller.create(&format!("steady{n:02}"), &format!("value {n}")).await.etag);
    }
    let request = CreateSecretRequest { request_id: Uuid::new_v4().to_string(), ..create("once", "v") };
    let created = caller.secrets().create_secret(request.clone()).await.unwrap().into_inner();
    let page = caller.list(page("")).await;
    assert_eq!(names(&page).len(), 7);
    Before { etags, page_token: page.next_page_token, created: (request, created) }
}

fn page(token: &str) -> ListSecretsRequest {
    ListSecretsRequest { limit: Some(7), name_prefix: "steady".into(), page_token: token.into(), ..list() }
}

/// Asserts that the etags, the page token and the request from before the rekeys are valid after them.
async fn still_good(caller: &Caller, before: &Before) {
    let next = names(&caller.list(page(&before.page_token)).await);
    assert_eq!(next, (7..14).map(|n| format!("steady{n:02}")).collect::<Vec<_>>());
    let (request, reply) = &before.created;
    assert_eq!(&caller.secrets().create_secret(request.clone()).await.unwrap().into_inner(), reply);
    for (n, etag) in before.etags.iter().enumerate() {
        let name = format!("steady{n:02}");
        assert_eq!(&caller.get(&name).await.etag, etag);
        caller.update(UpdateSecretRequest { etag: etag.clone(), ..describe(&name, "changed") }).await;
        assert_eq!(caller.value(&name).await, Value::text(format!("value {n}")));
    }
}

/// The work of one lane: the number of its requests, and the secrets that it left.
#[derive(Default)]
struct Done {
    requests: usize,
    kept: Vec<Kept>,
}

struct Kept {
    lane: usize,
    name: String,
    /// The value of each version, from version 1 on.
    values: Vec<String>,
}

/// Makes changes, some of them repeated with their request id, some with an etag that was read. All must succeed.
async fn change(caller: Caller, lane: usize, stop: Arc<AtomicBool>) -> Done {
    let mut done = Done::default();
    let mut secrets = caller.secrets();
    while !stop.load(Ordering::SeqCst) {
        let name = format!("l{lane}_{}", done.kept.len());
        let id = || Uuid::new_v4().to_string();
        let request = CreateSecretRequest { request_id: id(), ..create(&name, "first") };
        let made = secrets.create_secret(request.clone()).await.unwrap().into_inner();
        let mut values = vec!["first".to_owned()];
        let etag = made.secret.clone().unwrap().etag;
        let updated = caller.update(UpdateSecretRequest { etag, ..describe(&name, "d") }).await;
        for value in ["second", "third"] {
            let etag = if value == "second" { updated.etag.clone() } else { caller.get(&name).await.etag };
            let request = RotateSecretRequest { request_id: id(), etag, ..rotate(&name, value) };
            let rotated = secrets.rotate_secret(request.clone()).await.unwrap().into_inner();
            assert_eq!(secrets.rotate_secret(request).await.unwrap().into_inner(), rotated);
            values.push(value.to_owned());
            assert_eq!(caller.value(&name).await, Value::text(value));
        }
        assert_eq!(caller.version(&name, 1).await, Value::text("first"));
        let mut repeated = secrets.create_secret(request).await.unwrap().into_inner();
        // A repeat has the description that the secret has by then.
        let description = std::mem::take(&mut repeated.secret.as_mut().unwrap().description);
        assert_eq!((repeated, description.as_str()), (made, "d"));
        done.requests += 11;
        done.kept.push(Kept { lane, name, values });
        if done.kept.len() % 8 == 0 {
            let name = format!("l{lane}_gone");
            caller.create(&name, "v").await;
            caller.delete(&name).await;
            done.requests += 2;
        }
        // A pause, so that the rekeys come to an end on a small machine.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    done
}

/// Reads values, etags, and whole lists page by page. Every read must find what is there.
async fn read(caller: Caller, stop: Arc<AtomicBool>) -> Done {
    let mut done = Done::default();
    let mut etags = std::collections::BTreeMap::new();
    while !stop.load(Ordering::SeqCst) {
        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let page = caller.list(page(&token)).await;
            done.requests += 1;
            seen.extend(names(&page));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), STEADY);
        for (n, name) in seen.iter().enumerate() {
            let secret = caller.get(name).await;
            done.requests += 1;
            assert_eq!(Value::of(&secret), Value::text(format!("value {n}")));
            let (etag, revision) = etags.entry(n).or_insert_with(|| (secret.etag.clone(), secret.revision));
            assert_eq!((&secret.etag, secret.revision), (&*etag, *revision), "a rekey changed {name}");
        }
    }
    done
}

use std::io::Write;
use std::time::Instant;

use strongroom::api::v1::{CreateSecretRequest, GetStatusRequest, RotateMasterKeyRequest, RotationPhase};
use tokio::task::JoinSet;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Response, Status, Streaming};
use uuid::Uuid;

use super::{key_status, keys_in, of, settled};
use crate::caller::Caller;
use crate::harness::{Launch, PATIENCE, Server};
use crate::refusal::gone;
use crate::requests::{Value, create};

const SECRETS: usize = 300;

/// The kind of rekey during which the server is killed.
#[derive(Clone, Copy)]
enum Rekey {
    Master,
    Namespace,
}

/// `STRONGROOM_ROTATION_KILLS` is the number of kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rekey_is_resumed_by_itself_and_loses_nothing() {
    let kills = std::env::var("STRONGROOM_ROTATION_KILLS").map_or(16, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    furnish(&root).await;
    let mut running = Some(server);
    let (mut acknowledged, mut taken_up) = (0, 0);
    for kill in 0..kills {
        let server = running.take().unwrap();
        let root = root.at(&server).await;
        // Each kill comes at the n-th message, and a little later each time: at the begin, in the middle and at the end.
        let (rotation, after) = match kill % 2 {
            0 => (Rekey::Master, kill / 2 % 8),
            _ => (Rekey::Namespace, kill / 2 % 8 * 3),
        };
        acknowledged += cut_short(server, &root, rotation, after, acknowledged).await;

        let server = Launch::durable(folder.path()).start();
        let root = root.at(&server).await;
        let found = key_status(&root).await;
        taken_up += usize::from(found.generations.len() > 1 || !found.rotating_namespaces.is_empty());
        settled(&root).await;
        let status = root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
        assert_eq!(status.damaged_records, 0);
        running = Some(server);
    }
    let server = running.take().unwrap();
    let root = root.at(&server).await;
    for n in 0..SECRETS {
        let name = format!("s{n}");
        assert_eq!(root.version(&name, 1).await, Value::text(format!("first {n}")));
        assert_eq!(root.value(&name).await, Value::text(format!("second {n}")));
    }
    for n in 0..acknowledged {
        assert_eq!(root.value(&format!("made{n}")).await, Value::text("v"));
    }
    server.stop().await;
    // The newest key alone opens the store.
    let file = folder.path().join("master.key");
    std::fs::write(&file, &keys_in(&file)[0]).unwrap();
    let server = Launch::durable(folder.path()).start();
    assert_eq!(root.at(&server).await.value("s0").await, Value::text("second 0"));
    server.stop().await;
    let said = format!(
        "rotation: {kills} kills, after {taken_up} of which a rotation was found begun; {acknowledged} secrets made \
         meanwhile, 0 lost\n"
    );
    let _ = std::io::stderr().write_all(said.as_bytes());
    assert!(taken_up > 0, "no kill came during a rekey");
}

/// Creates secrets with two versions, idempotency records, and API keys.
async fn furnish(root: &Caller) {
    let mut making = JoinSet::new();
    for n in 0..SECRETS {
        let root = root.clone();
        making.spawn(async move {
            let request_id = Uuid::new_v4().to_string();
            let request =
                CreateSecretRequest { request_id, ..create(&format!("s{n}"), &format!("first {n}")) };
            root.create_with(request).await;
            root.rotate(&format!("s{n}"), &format!("second {n}")).await;
            if n % 3 == 0 {
                root.make_key(&format!("k{n}"), &format!("team-{n}")).await;
            }
        });
    }
    making.join_all().await;
}

/// Begins a rekey and kills the server after `after` messages, while others create secrets. Returns how many were created.
async fn cut_short(server: Server, root: &Caller, rotation: Rekey, after: usize, from: usize) -> usize {
    let making = {
        let root = root.clone();
        tokio::spawn(async move {
            let mut made = 0;
            loop {
                let name = format!("made{}", from + made);
                match root.secrets().create_secret(create(&name, "v")).await {
                    Ok(_) => made += 1,
                    // It was made before the last kill, but not acknowledged.
                    Err(status) if status.code() == Code::AlreadyExists => made += 1,
                    Err(status) => {
                        gone(&status);
                        return made;
                    }
                }
            }
        })
    };
    match rotation {
        Rekey::Master => {
            let begin = async || root.operator().rotate_master_key(RotateMasterKeyRequest {}).await;
            let phases = once_free(begin).await.map(|reply| reply.unwrap().phase());
            listen(phases, after).await;
        }
        Rekey::Namespace => {
            let begin = async || root.operator().rotate_namespace_keys(of("default")).await;
            let phases = once_free(begin).await.map(|reply| reply.unwrap().phase());
            listen(phases, after).await;
        }
    }
    tokio::task::spawn_blocking(move || server.kill()).await.unwrap();
    making.await.unwrap()
}

/// Reads this many messages, or all if there are fewer.
async fn listen(mut phases: impl Stream<Item = RotationPhase> + Unpin, messages: usize) {
    for _ in 0..messages {
        if phases.next().await.is_none_or(|phase| phase == RotationPhase::Done) {
            return;
        }
    }
}

/// Begins a rekey once no other one is running. A resumed rekey still counts as running for a moment after its end is
/// visible.
async fn once_free<R>(begin: impl AsyncFn() -> Result<Response<Streaming<R>>, Status>) -> Streaming<R> {
    let since = Instant::now();
    loop {
        match begin().await {
            Ok(replies) => return replies.into_inner(),
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
        }
        assert!(since.elapsed() < PATIENCE, "the other rekey does not end");
    }
}

use std::io::Write;

use strongroom::api::v1::{CreateSecretRequest, GetStatusRequest, RotateMasterKeyRequest, RotationPhase};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use uuid::Uuid;

use super::{key_status, keys_in, of, settled};
use crate::caller::Caller;
use crate::harness::{Launch, Server};
use crate::refusal::gone;
use crate::requests::{Value, create};

const SECRETS: usize = 300;

/// What is killed while it goes on.
#[derive(Clone, Copy)]
enum Rotation {
    Master,
    Namespace,
}

/// `STRONGROOM_ROTATION_KILLS` says how many kills there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_is_taken_up_by_itself_and_loses_nothing() {
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
        // Each at the n-th message, and a little later each time: as it begins, in the middle, and as it ends.
        let (rotation, after) = match kill % 2 {
            0 => (Rotation::Master, kill / 2 % 8),
            _ => (Rotation::Namespace, kill / 2 % 8 * 3),
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
    // The newest key alone opens what is left.
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
    assert!(taken_up > 0, "no kill met a rotation");
}

/// Secrets of two versions, receipts, and keys.
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

/// Begins a rotation, and kills the server after so many messages; while others make secrets, whose number it gives.
async fn cut_short(server: Server, root: &Caller, rotation: Rotation, after: usize, from: usize) -> usize {
    let making = {
        let root = root.clone();
        tokio::spawn(async move {
            let mut made = 0;
            loop {
                let name = format!("made{}", from + made);
                match root.secrets().create_secret(create(&name, "v")).await {
                    Ok(_) => made += 1,
                    // Made at the last kill, and not acknowledged.
                    Err(status) if status.code() == tonic::Code::AlreadyExists => made += 1,
                    Err(status) => {
                        gone(&status);
                        return made;
                    }
                }
            }
        })
    };
    let mut told = 0;
    match rotation {
        Rotation::Master => {
            let mut replies =
                root.operator().rotate_master_key(RotateMasterKeyRequest {}).await.unwrap().into_inner();
            while told < after {
                let Some(reply) = replies.next().await else { break };
                told += 1;
                if reply.unwrap().phase() == RotationPhase::Done {
                    break;
                }
            }
        }
        Rotation::Namespace => {
            let mut replies =
                root.operator().rotate_namespace_keys(of("default")).await.unwrap().into_inner();
            while told < after {
                let Some(reply) = replies.next().await else { break };
                told += 1;
                if reply.unwrap().phase() == RotationPhase::Done {
                    break;
                }
            }
        }
    }
    tokio::task::spawn_blocking(move || server.kill()).await.unwrap();
    making.await.unwrap()
}

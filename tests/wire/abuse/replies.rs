//! Replies that are not taken, or slowly.

use std::time::Duration;

use prost::Message;
use strongroom::api::v1::{CreateSecretRequest, ListSecretsRequest};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::beside::{BOUND, beside, resident};
use crate::caller::{Caller, endpoint};
use crate::harness::{Launch, PATIENCE, Server};
use crate::raw::Wire;
use crate::requests::{create, get};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const GET: &str = "/strongroom.v1.SecretService/GetSecret";
const LIST: &str = "/strongroom.v1.SecretService/ListSecrets";
const SECRETS: usize = 300;
const LISTS: usize = 100;
/// Reads of a small secret.
const SMALL: usize = 50;

/// Secrets of which a list has about half a megabyte.
async fn many_secrets(server: &Server) -> Caller {
    let root = Caller::root(server).await;
    let mut made = JoinSet::new();
    for n in 0..SECRETS {
        let root = root.clone();
        made.spawn(async move {
            let description = "d".repeat(1000);
            root.create_with(CreateSecretRequest { description, ..create(&format!("n{n}"), "v") }).await;
        });
    }
    made.join_all().await;
    root
}

#[tokio::test]
async fn replies_that_are_not_taken_end_and_the_connection_goes_on() {
    let mut server = Launch::in_memory().limits("reply_time = '2s'").start();
    let root = many_secrets(&server).await;
    let request = ListSecretsRequest { limit: Some(1000), ..Default::default() };
    let size = root.list(request.clone()).await.encoded_len();
    assert!(size > 300_000, "{size}");
    let mut health = HealthClient::new(endpoint(&server.url).connect().await.unwrap());
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    root.create("small", &"v".repeat(256)).await;
    let before = resident(&server);

    let mut wires = Vec::new();
    for window in [0, 1, 30_000] {
        wires.push(Wire::with_window(&server, window).await.bearer(&server.root_key));
    }
    let abuse = async {
        let mut lists = JoinSet::new();
        for n in 0..LISTS {
            let (wire, message) = (wires[n % wires.len()].clone(), request.encode_to_vec());
            lists.spawn(async move { wire.never_take(LIST, &message).await });
        }
        for n in 0..SMALL {
            let wire = wires[n % 2].clone(); // a reply that fits its window is sent, and so taken
            lists.spawn(async move { wire.never_take(GET, &get("small").encode_to_vec()).await });
        }
        assert_eq!(lists.join_all().await, [Some(h2::Reason::CANCEL); LISTS + SMALL]);
        // A window of 0 lets nothing through.
        for wire in &wires[1..] {
            wire.call(CHECK, &[]).await.unwrap();
        }
    };
    // Each reply is in memory as a message, and as bytes.
    beside(&mut server, LISTS * 3 * size, abuse).await;
    let freed = async {
        while resident(&server) > before + BOUND {
            tokio::time::sleep(Duration::from_millis(10)).await; // lets the server work
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("the memory of the replies is freed");
    // A stream that has nothing to say for so long is not ended.
    server.signal("TERM");
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    server.ended_well().await;
}

/// A peer that takes a reply slowly is not cut off.
#[tokio::test]
async fn a_slow_reader_gets_its_whole_reply() {
    let server = Launch::in_memory().limits("reply_time = '3s'").start();
    let root = many_secrets(&server).await;
    let request = ListSecretsRequest { limit: Some(1000), ..Default::default() };
    let size = root.list(request.clone()).await.encoded_len();
    let wire = Wire::with_window(&server, 16 << 10).await.bearer(&server.root_key);
    let pause = Duration::from_millis(200);
    let read = wire.take_slowly(LIST, &request.encode_to_vec(), pause).await.unwrap();
    assert!(pause * u32::try_from(size / (16 << 10)).unwrap() > Duration::from_secs(3), "not slow: {size}");
    assert_eq!(read, size + 5);
}

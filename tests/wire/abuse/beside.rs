//! Abusers beside a good client: the good client is served throughout, the abuser is cut off or refused, and the server's memory
//! stays within a bound.

use std::time::{Duration, Instant};

use serde_json::json;
use strongroom::api::v1::{CreateApiKeyRequest, ResolveReferencesRequest};
use tokio::sync::watch;

use crate::caller::{Caller, Room};
use crate::harness::Server;
use crate::references::wire_map;
use crate::requests::Value;

/// By how much the server's memory may grow, at most, in most of the tests.
pub const BOUND: usize = 48 << 20;
/// How many requests the good client makes at least.
const REQUESTS: usize = 50;

/// Runs an abuser beside a good client that reads, resolves a document and rotates in turn: its every request must succeed.
pub async fn beside<T>(server: &mut Server, bound: usize, abuse: impl Future<Output = T>) -> T {
    let shared: &Server = server;
    let result = beside_over(shared, async || Caller::root(shared).await, bound, abuse).await;
    server.assert_alive();
    result
}

/// The same with a good client that connects in this way, with the root key.
pub async fn beside_over<T>(
    server: &Server,
    connect: impl AsyncFn() -> Caller,
    bound: usize,
    abuse: impl Future<Output = T>,
) -> T {
    let room = Room::of(connect().await).await;
    room.create("good", "served").await;
    let before = peak(server);
    let (done, over) = watch::channel(false);
    let abuse = async {
        let result = abuse.await;
        done.send_replace(true);
        result
    };
    let good = async {
        let (mut requests, mut worst) = (0, Duration::ZERO);
        while requests < REQUESTS || !*over.borrow() {
            let since = Instant::now();
            match requests % 3 {
                0 => assert_eq!(room.value("good").await, Value::text("served")),
                1 => resolved(&room).await,
                _ => drop(room.rotate("good", "served").await),
            }
            worst = worst.max(since.elapsed());
            requests += 1;
        }
        (requests, worst)
    };
    let (result, (requests, worst)) = tokio::join!(abuse, good);
    let grown = peak(server).saturating_sub(before);
    let test = std::thread::current();
    println!(
        "{}: {requests} requests of the good client succeeded, the slowest in {worst:?}; the server's memory grew by {} KiB",
        test.name().unwrap_or_default(),
        grown >> 10
    );
    assert!(grown < bound, "the server's memory grew by {grown} bytes");
    // A newcomer is served too.
    Room::of(connect().await).await.create("A", "v").await;
    result
}

/// Has a document resolved that names the secret.
async fn resolved(room: &Room) {
    let document = wire_map(json!({ "value": "$ secrets.get('good')" }));
    let request = ResolveReferencesRequest { document: Some(document), ..Default::default() };
    let reply = room.references().resolve_references(request).await.expect("the document is resolved");
    assert_eq!(reply.into_inner().document, Some(wire_map(json!({ "value": "served" }))));
}

/// The credential of a key of its own.
pub async fn key(server: &Server) -> String {
    let request = CreateApiKeyRequest {
        name: "an abuser".into(),
        home_namespace: "abuser".into(),
        ..Default::default()
    };
    let root = Caller::root(server).await;
    root.access().create_api_key(request).await.expect("the API key is made").into_inner().credential
}

/// The most memory that the server ever had, in bytes.
pub fn peak(server: &Server) -> usize {
    memory(server, "VmHWM:")
}

/// The memory that the server has, in bytes.
pub fn resident(server: &Server) -> usize {
    memory(server, "VmRSS:")
}

fn memory(server: &Server, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
}

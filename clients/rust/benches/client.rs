//! Measures the client beside the bare stub that tonic generates, and a read of the cache:
//!
//! ```text
//! cargo bench --bench client              # prints the numbers
//! cargo bench --bench client -- --check   # and fails where they miss their bounds
//! ```
//!
//! The service is the fake of the tests, in the same process and over TCP, so that the client's share is as large as it can be.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)] // a bench

#[allow(dead_code)] // the tests use the rest of it
#[path = "../tests/service/fake.rs"]
mod fake;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use strongroom_client::v1::secret_service_client::SecretServiceClient;
use strongroom_client::v1::watch_secrets_response::Step;
use strongroom_client::v1::{
    GetSecretRequest, GetSecretResponse, Secret, WatchBookmark, WatchSecretsResponse,
};
use strongroom_client::{CachePolicy, Client};
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};

use crate::fake::{Answer, Fake};

/// The bounds of the client's design.
const MOST_CACHED: f64 = 1.0;
const MOST_RATIO: f64 = 1.3;

const READS: usize = 10_000;
const TURN: usize = 100;

fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    // The service has a thread of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fake = runtime.block_on(async { Fake::start([]) });
    let secret = Secret {
        name: "a".into(),
        value: Some("a value of some thirty-two bytes".into()),
        ..Secret::default()
    };
    fake.always("GetSecret", &GetSecretResponse { secret: Some(secret), version: 1, revision: 1 });
    let synced =
        WatchSecretsResponse { step: Some(Step::Bookmark(WatchBookmark { revision: 1, synced: true })) };
    fake.then("WatchSecrets", [Answer::stream(&[synced], None)]);

    let caller = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (cached, ratio) = caller.block_on(async {
        let client = fake.client().await;
        let cached = cached(&client).await;
        println!("a read of the cache: {cached:.3} µs");
        (cached, ratio(&client, &fake).await)
    });
    if check && (cached >= MOST_CACHED || ratio > MOST_RATIO) {
        println!(
            "client: a cached read must take less than {MOST_CACHED} µs, and the ratio be {MOST_RATIO} at most"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The microseconds of one read of the cache.
async fn cached(client: &Client) -> f64 {
    const AT_ONCE: u32 = 1000;
    let cache = client.cached(CachePolicy::default());
    cache.get("a").await.unwrap();
    let mut turns = Vec::new();
    for _ in 0..1000 {
        let start = Instant::now();
        for _ in 0..AT_ONCE {
            std::hint::black_box(cache.get("a").await.unwrap());
        }
        turns.push(start.elapsed() / AT_ONCE);
    }
    median(turns).as_secs_f64() * 1e6
}

/// 10,000 reads with the client as a ratio to 10,000 with the bare stub, in turns.
async fn ratio(client: &Client, fake: &Fake) -> f64 {
    let channel = Endpoint::from_shared(format!("http://{}", fake.address)).unwrap().connect().await.unwrap();
    let mut stub = SecretServiceClient::new(channel);
    by_client(client).await;
    by_stub(&mut stub).await;
    let (mut of_client, mut of_stub) = (Vec::new(), Vec::new());
    for _ in 0..READS / TURN {
        of_client.push(by_client(client).await);
        of_stub.push(by_stub(&mut stub).await);
        fake.seen();
    }
    let (of_client, of_stub) = (median(of_client), median(of_stub));
    let ratio = of_client.as_secs_f64() / of_stub.as_secs_f64();
    let turn = u32::try_from(TURN).unwrap();
    println!(
        "{READS} reads: {:?} each with the client, {:?} with the bare stub: {ratio:.3}",
        of_client / turn,
        of_stub / turn
    );
    ratio
}

async fn by_client(client: &Client) -> Duration {
    let start = Instant::now();
    for _ in 0..TURN {
        std::hint::black_box(client.get("a").await.unwrap());
    }
    start.elapsed()
}

/// What a careful user of the stub does: a deadline, and the API key.
async fn by_stub(stub: &mut SecretServiceClient<Channel>) -> Duration {
    let start = Instant::now();
    for _ in 0..TURN {
        let mut request = Request::new(GetSecretRequest { name: "a".into(), ..GetSecretRequest::default() });
        request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer srk_id_secret"));
        request.set_timeout(Duration::from_secs(30));
        std::hint::black_box(stub.get_secret(request).await.unwrap());
    }
    start.elapsed()
}

/// On a machine that also does something else, some turns take much longer.
fn median(mut turns: Vec<Duration>) -> Duration {
    turns.sort_unstable();
    turns.get(turns.len() / 2).copied().unwrap_or_default()
}

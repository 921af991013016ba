//! Measures 1,000 watches of one namespace: the memory that each takes on the server, and the time from the request of a change
//! until all of them have its event. No result counts as a failure.

// A measurement stops at the first error, and prints its result.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]
// Everything here is private to one binary.
#![allow(missing_docs, unreachable_pub)]

#[path = "../tools/mod.rs"]
mod tools;

use std::time::{Duration, Instant};

use strongroom::api::v1::WatchSecretsRequest;
use strongroom::api::v1::secret_service_client::SecretServiceClient;
use strongroom::api::v1::watch_secrets_response::Step;
use tokio::sync::mpsc;

use self::tools::{Server, Start, record};

const WATCHES: usize = 1000;
/// How many watches share a connection: fewer than the server takes.
const ON_A_CONNECTION: usize = 50;
const CHANGES: usize = 50;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = Start { folder: folder.path(), store: "memory", config: "", tls: None, processor: None };
    let server = Server::start(&start);
    let channel = server.channel().await;
    server.create(&channel, "first").await;
    // Connections that do nothing, so that only the watches count.
    let mut channels = Vec::new();
    for _ in 0..WATCHES / ON_A_CONNECTION {
        let channel = server.channel().await;
        server.create(&channel, &format!("warm_{}", channels.len())).await;
        channels.push(channel);
    }
    let before = server.process.settled().await;
    let (told, mut events) = mpsc::unbounded_channel();
    for channel in &channels {
        for _ in 0..ON_A_CONNECTION {
            let mut client = SecretServiceClient::new(channel.clone());
            let stream = client.watch_secrets(server.request(WatchSecretsRequest::default())).await;
            let (mut stream, told) = (stream.expect("a watch").into_inner(), told.clone());
            tokio::spawn(async move {
                while let Ok(Some(reply)) = stream.message().await {
                    if let Some(Step::Event(event)) = reply.step {
                        let _ = told.send((event.revision, Instant::now()));
                    }
                }
            });
        }
    }
    let each = server.process.settled().await.saturating_sub(before) / WATCHES;
    println!("{WATCHES} watches: {:.1} KiB of memory each", each as f64 / 1024.0);

    let (mut times, mut all) = (Vec::new(), Vec::new());
    for number in 0..CHANGES {
        let begun = Instant::now();
        server.create(&channel, &format!("secret_{number}")).await;
        let answered = begun.elapsed();
        let (mut last, mut first) = (Duration::ZERO, Duration::MAX);
        for _ in 0..WATCHES {
            let (_, at) = events.recv().await.expect("an event");
            all.push(at.duration_since(begun));
            last = last.max(at.duration_since(begun));
            first = first.min(at.duration_since(begun));
        }
        times.push((last, first, answered));
    }
    times.sort();
    let (last, first, answered) = times[CHANGES / 2];
    println!(
        "a create: answered after {answered:?}, the first watch has its event after {first:?}, the last one after {last:?} (median of {CHANGES})"
    );
    println!("the slowest of {CHANGES}: {:?}", times[CHANGES - 1].0);
    all.sort();
    let within = all[all.len() * 99 / 100];
    println!("99 % of all events within {within:?}");
    record(&[("watch_1000_p99_ms", within.as_secs_f64() * 1e3), ("watch_bytes_each", each as f64)]);
}

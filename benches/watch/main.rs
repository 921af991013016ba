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

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom::api::v1::secret_service_client::SecretServiceClient;
use strongroom::api::v1::secret_value::Kind;
use strongroom::api::v1::watch_secrets_response::Step;
use strongroom::api::v1::{CreateSecretRequest, SecretValue, WatchSecretsRequest};
use tokio::sync::mpsc;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

const WATCHES: usize = 1000;
/// How many watches share a connection: fewer than the server takes.
const ON_A_CONNECTION: usize = 50;
const CHANGES: usize = 50;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let server = Server::start();
    let channel = server.channel().await;
    server.create(&channel, "first").await;
    // Connections that do nothing, so that only the watches count.
    let mut channels = Vec::new();
    for _ in 0..WATCHES / ON_A_CONNECTION {
        let channel = server.channel().await;
        server.create(&channel, &format!("warm_{}", channels.len())).await;
        channels.push(channel);
    }
    let before = server.settled().await;
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
    let each = server.settled().await.saturating_sub(before) / WATCHES;
    println!("{WATCHES} watches: {:.1} KiB of memory each", each as f64 / 1024.0);

    let mut times = Vec::new();
    for number in 0..CHANGES {
        let begun = Instant::now();
        server.create(&channel, &format!("secret_{number}")).await;
        let answered = begun.elapsed();
        let (mut last, mut first) = (Duration::ZERO, Duration::MAX);
        for _ in 0..WATCHES {
            let (_, at) = events.recv().await.expect("an event");
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
}

struct Server {
    child: Child,
    address: String,
    key: Arc<str>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server in memory.
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = folder.path().join("data");
        let log = std::fs::File::create(folder.path().join("log")).expect("the log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_strongroom"))
            .args(["serve", "--store", "memory", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("strongroom is ready on ")?.trim().to_owned()))
            .expect("the server is ready");
        // The server may write more.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let key = std::fs::read_to_string(data_dir.join("root.key")).expect("root.key");
        Self { child, address, key: key.trim().into(), _folder: folder }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.address.clone()).expect("an address");
        endpoint.connect().await.expect("a connection")
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let credential = format!("Bearer {}", self.key).parse().expect("a header");
        request.metadata_mut().insert("authorization", credential);
        request
    }

    async fn create(&self, channel: &Channel, name: &str) {
        let value = Some(SecretValue { kind: Some(Kind::Text("v".repeat(256))) });
        let create = CreateSecretRequest { name: name.into(), value, ..Default::default() };
        let created = SecretServiceClient::new(channel.clone()).create_secret(self.request(create)).await;
        created.expect("the secret is created");
    }

    /// The memory of the server in bytes, once it does not change any more.
    async fn settled(&self) -> usize {
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = self.resident();
            if now.abs_diff(before) < 64 << 10 {
                return now;
            }
            before = now;
        }
    }

    fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

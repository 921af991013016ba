//! A message that is announced and not sent costs the server what was sent, not what was announced.

use std::time::{Duration, Instant};

use tonic::Code;

use crate::harness::{PATIENCE, Server};
use crate::raw::{Wire, frame};

const STREAMS: usize = 500;
const CONNECTIONS: usize = 8;
/// How much memory the server may take for a stream, its task and its 14 bytes: 1/16 of the smallest announcement here.
const PER_STREAM: usize = 64 << 10;

#[tokio::test]
async fn announced_secrets_cost_no_memory_until_they_are_sent() {
    announce_and_end("/strongroom.v1.SecretService/CreateSecret").await;
}

#[tokio::test]
async fn a_health_check_cannot_announce_more_than_4_kib() {
    let server = Server::alone();
    let wire = Wire::to(&server).await;
    let part = frame(0, (4 << 10) + 1, b"9 of many");
    let refusal =
        wire.send("/grpc.health.v1.Health/Check", part).await.expect_err("a message that is too large");
    assert!(matches!(refusal.code(), Code::ResourceExhausted | Code::OutOfRange), "{refusal:?}");
}

/// Opens streams that each announce the largest message and send 14 bytes of it, then ends them.
async fn announce_and_end(path: &str) {
    let mut server = Server::alone();
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        wires.push(Wire::as_root(&server).await);
    }
    let (announced, part) = (1 << 20, frame(0, 1 << 20, b"9 of many"));
    let before = Memory::of(&server);

    let mut streams = Vec::new();
    for n in 0..STREAMS {
        streams.push(wires[n % CONNECTIONS].begin(path, part.clone()).await);
    }
    // The server reserves the room for each message: without that, this test would say nothing.
    let reserved = before.mapped + STREAMS * announced / 2;
    Memory::until(&server, "the messages' room is reserved", |now| now.mapped > reserved).await;
    for mut stream in streams {
        stream.body.send_data(Default::default(), true).expect("the stream is open");
    }
    let bound = STREAMS * PER_STREAM;
    let done = |now: &Memory| now.mapped < reserved || now.resident > before.resident + bound;
    let after = Memory::until(&server, "the messages' room is freed", done).await;
    assert!(after.resident < before.resident + bound, "{before:?}, then {after:?}");
    assert!(after.peak < before.peak + bound, "{before:?}, then {after:?}");
    server.assert_alive();
}

/// A server's memory, in bytes.
#[derive(Debug)]
struct Memory {
    /// What is mapped, with memory behind it or without.
    mapped: usize,
    /// What has memory behind it.
    resident: usize,
    /// The most that ever had.
    peak: usize,
}

impl Memory {
    fn of(server: &Server) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            let kib: usize = line.trim_end_matches("kB").trim().parse().expect("a number");
            kib * 1024
        };
        Self { mapped: bytes("VmSize:"), resident: bytes("VmRSS:"), peak: bytes("VmHWM:") }
    }

    async fn until(server: &Server, awaited: &str, reached: impl Fn(&Self) -> bool) -> Self {
        let since = Instant::now();
        loop {
            let now = Self::of(server);
            if reached(&now) {
                return now;
            }
            assert!(since.elapsed() < PATIENCE, "{awaited}, but not within {PATIENCE:?}: {now:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

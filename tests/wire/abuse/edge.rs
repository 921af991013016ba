//! Abuse of the connection itself: floods of frames, headers and bodies that never end, and connections that never authenticate.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use prost::Message;
use tokio::task::{JoinSet, spawn_blocking};
use tonic::Code;

use super::beside::{BOUND, beside, beside_over, key};
use super::raw::{
    CONTINUATION, END_HEADERS, GOAWAY, HEADERS, PING, RESET, Raw, SETTINGS, connect_from, frame, frames,
    headers, local, string,
};
use crate::caller::{Caller, Credential};
use crate::harness::{Launch, PATIENCE, Server};
use crate::metrics;
use crate::raw::{Wire, framed};
use crate::refusal::refused;
use crate::requests::{create, get, list};
use crate::tls::Site;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const GET: &str = "/strongroom.v1.SecretService/GetSecret";
const CREATE: &str = "/strongroom.v1.SecretService/CreateSecret";
const LIST: &str = "/strongroom.v1.SecretService/ListSecrets";
/// More of each frame than any limit lets through.
const MANY: usize = 500_000;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// How often an abuser comes back.
const ROUNDS: usize = 10;

/// A server with metrics.
fn measured() -> Server {
    Launch::in_memory().argument("--metrics-listen").argument("127.0.0.1:0").start()
}

/// Sends bytes again and again beside a good client, until the server closes the connection, over several connections. The log tells
/// one of these causes, and the peer.
async fn flood(mut server: Server, causes: &[&str], bytes: impl Fn(usize) -> Vec<u8> + Send + 'static) {
    let address = local(&server);
    let abuse = async {
        let flooding =
            move || (0..ROUNDS).map(|_| Raw::to(address).until_closed(MANY, &bytes)).collect::<Vec<_>>();
        spawn_blocking(flooding).await.unwrap()
    };
    let sent = beside(&mut server, BOUND, abuse).await;
    println!("the server closed the connections after {sent:?}");
    let page = metrics::page(&server.metrics_address()).await;
    let closed = causes.iter().filter_map(|cause| {
        metrics::sample(&page, &format!("strongroom_connections_closed_total{{cause=\"{cause}\"}}"))
    });
    assert_eq!(closed.sum::<f64>(), ROUNDS as f64, "{page}");
    let said = server.stop().await.all();
    assert!(!said.contains("panicked"));
    let told: Vec<_> = said.lines().filter(|line| line.contains("the server closed a connection")).collect();
    assert!(!told.is_empty(), "{said}");
    for line in told {
        let cause = causes.iter().any(|cause| line.contains(&format!("\"cause\":\"{cause}\"")));
        assert!(cause && line.contains("\"peer\":\"127.0.0.1:") && line.contains("\"left_out\""), "{line}");
        assert!(line.contains("\"WARN\""), "{line}");
    }
}

#[tokio::test]
async fn a_flood_of_pings_is_cut_off() {
    flood(measured(), &["flood"], |_| frame(PING, 0, 0, &[7; 8]).repeat(100)).await;
}

#[tokio::test]
async fn a_flood_of_settings_is_cut_off() {
    let table = [0, 1, 0xff, 0xff, 0xff, 0xff]; // a header table of 4 GiB
    flood(measured(), &["flood"], move |_| frame(SETTINGS, 0, 0, &table).repeat(100)).await;
}

#[tokio::test]
async fn headers_that_never_end_are_cut_off() {
    let begin = frame(HEADERS, 0, 1, &headers(GET, &[]));
    flood(
        measured(),
        &["broken"],
        move |n| {
            if n == 0 { begin.clone() } else { frame(CONTINUATION, 0, 1, &[]) }
        },
    )
    .await;
}

#[tokio::test]
async fn a_stranger_that_resets_all_its_requests_is_cut_off() {
    let block = headers(GET, &[]);
    flood(measured(), &["resets", "broken"], move |n| reset(n, &block)).await;
}

#[tokio::test]
async fn a_key_holder_that_resets_all_its_requests_is_cut_off() {
    let server = measured();
    let block = headers(GET, &[("x-api-key", &key(&server).await)]);
    flood(server, &["resets", "broken"], move |n| reset(n, &block)).await;
}

/// A request, and its reset.
fn reset(n: usize, block: &[u8]) -> Vec<u8> {
    let stream = u32::try_from(2 * n + 1).unwrap();
    [frame(HEADERS, END_HEADERS, stream, block), frame(RESET, 0, stream, &CANCEL)].concat()
}

/// The table of each connection holds a header of 4,000 bytes, and a request has it as often as fits into a frame.
#[tokio::test]
async fn headers_that_grow_in_the_table_are_cut_off() {
    let mut first = headers(GET, &[]);
    first.push(0x40);
    string("x-bomb", &mut first);
    string(&"b".repeat(3900), &mut first);
    // The newest entry of the table.
    let bomb = [headers(GET, &[]), vec![0xbe; 15_000]].concat();
    flood(measured(), &["broken"], move |n| {
        let stream = u32::try_from(2 * n + 1).unwrap();
        frame(HEADERS, END_HEADERS, stream, if n == 0 { &first } else { &bomb })
    })
    .await;
}

#[tokio::test]
async fn headers_over_16_kib_are_refused_with_a_reason() {
    let server = Server::alone();
    let root = Wire::as_root(&server).await;
    let stranger = Wire::to(&server).await;
    // Each header counts 32 bytes more than it has.
    for (size, fits) in [(15_000, true), (16_384, false), (60_000, false)] {
        let root = root.header("x-much", "m".repeat(size));
        let stranger = stranger.header("x-much", "m".repeat(size));
        let (answer, open) =
            (root.call(LIST, &list().encode_to_vec()).await, stranger.call(CHECK, &[]).await);
        if fits {
            answer.unwrap();
            open.unwrap();
        } else {
            refused(answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
            refused(open, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        }
    }
    root.call(LIST, &list().encode_to_vec()).await.unwrap();
}

#[tokio::test]
async fn half_health_checks_are_few_and_end() {
    let mut server = Launch::in_memory().limits("authentication_time = '4s'").start();
    let wire = Wire::to(&server).await;
    let root = wire.bearer(&server.root_key);
    let abuse = async {
        let mut half = Vec::new();
        for _ in 0..16 {
            half.push(wire.begin(CHECK, vec![0, 0, 0, 16, 0, 1]).await);
        }
        for _ in 0..100 {
            refused(wire.call(CHECK, &[]).await, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
        }
        wire.closed_by_server().await;
        half
    };
    drop(beside(&mut server, BOUND, abuse).await);
    drop(root);
}

/// A connection on which a key in force was used has no more of them, and goes on.
#[tokio::test]
async fn half_requests_to_health_and_reflection_of_a_key_holder_are_few_and_end_by_themselves() {
    let mut server = Server::alone();
    let wire = Wire::to(&server).await;
    let root = wire.bearer(&server.root_key);
    let status = Caller::root(&server).await;
    let abuse = async {
        root.call(LIST, &list().encode_to_vec()).await.unwrap();
        let mut half = Vec::new();
        for n in 0..16 {
            half.push(wire.begin([CHECK, REFLECTION][n % 2], vec![0, 0, 0, 16, 0, 1]).await);
        }
        refused(wire.call(CHECK, &[]).await, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
        root.call(LIST, &list().encode_to_vec()).await.unwrap();
        refused(wire.call(CHECK, &[]).await, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
        let usage = status.limit("unauthenticated_requests").await;
        assert_eq!((usage.used, usage.limit, usage.refused), (16, 16, 2));
        // Nothing but their time ends them.
        for request in half {
            request.answered().await.unwrap_err();
        }
        wire.call(CHECK, &[]).await.unwrap();
        root.call(LIST, &list().encode_to_vec()).await.unwrap();
    };
    beside(&mut server, BOUND, abuse).await;
    // What was refused is told though its connection has gone.
    drop((wire, root));
    assert_eq!(status.limit("unauthenticated_requests").await.refused, 2);
}

#[tokio::test]
async fn a_request_of_a_stranger_is_refused_before_its_body_has_come() {
    let mut server = Server::alone();
    let wires = [Wire::to(&server).await, Wire::to(&server).await];
    let abuse = async {
        for n in 0..500 {
            let begun = wires[n % 2].begin(CREATE, vec![0, 0, 16, 0, 0, 1]).await;
            refused(begun.answered().await, Code::Unauthenticated, "CREDENTIAL_MISSING");
        }
    };
    beside(&mut server, BOUND, abuse).await;
}

#[tokio::test]
async fn a_connection_on_which_no_key_is_used_in_time_is_told_to_go_and_closed() {
    let mut server = Launch::in_memory().limits("authentication_time = '3s'").start();
    let (only_checks, a_watcher) = (Wire::to(&server).await, Wire::to(&server).await);
    let revoked = Wire::to(&server).await.bearer("srk_00000000000000000000000000000000");
    // A header block of which a byte comes now and then.
    let mut slow = Raw::to(local(&server));
    let slow = spawn_blocking(move || {
        let block = headers(GET, &[("x-slow", &"s".repeat(16_000))]);
        for byte in frame(HEADERS, END_HEADERS, 1, &block) {
            if slow.is_closed() || !slow.send(&[byte]) {
                break;
            }
            thread::sleep(Duration::from_millis(10)); // the abuse itself
        }
        slow.closed()
    });
    let abuse = async {
        only_checks.call(CHECK, &[]).await.unwrap();
        revoked.call(GET, &get("good").encode_to_vec()).await.map(drop).unwrap_err();
        let watched = a_watcher.begin("/grpc.health.v1.Health/Watch", framed(&[])).await;
        only_checks.told_to_go_away().await;
        for wire in [&only_checks, &revoked, &a_watcher] {
            wire.closed_by_server().await;
        }
        drop(watched);
        assert!(frames(&slow.await.unwrap()).contains(&GOAWAY));
    };
    beside(&mut server, BOUND, abuse).await;
}

#[tokio::test]
async fn connections_of_one_peer_are_limited_and_other_peers_are_served() {
    let limits = "connections_per_peer = 40\nunauthenticated_connections_per_peer = 30";
    let mut server = Launch::in_memory().limits(limits).start();
    let (address, key) = (local(&server), server.root_key.clone());
    let abuse = async {
        let mut held = Vec::new();
        for _ in 0..300 {
            let stream = connect_from(Ipv4Addr::new(127, 0, 0, 3), address).await.unwrap();
            held.push(stream.into_std().unwrap());
        }
        // Connections are accepted in their order, so this one is served after all of those were closed.
        let another = connect_from(Ipv4Addr::new(127, 0, 0, 2), address).await.unwrap();
        let other = Wire::over(another, "localhost").await.bearer(&key);
        for _ in 0..100 {
            other.call(LIST, &list().encode_to_vec()).await.unwrap();
        }
        assert_eq!(held.iter_mut().filter_map(is_open).count(), 30);
    };
    beside(&mut server, BOUND, abuse).await;
    let logged = server.logged();
    assert!(logged.contains("connections were closed, since a limit was reached"), "{logged}");
    assert!(logged.contains("unauthenticated_connections_per_peer"), "{logged}");
}

/// Something if the server has not closed a connection yet.
fn is_open(stream: &mut TcpStream) -> Option<()> {
    stream.set_nonblocking(true).unwrap();
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(1..) => {} // the server's settings
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(()),
            Ok(0) | Err(_) => return None,
        }
    }
}

/// The oldest of the connections that have not authenticated make room.
#[tokio::test]
async fn half_open_handshakes_do_not_lock_out_key_holders() {
    let limits = "unauthenticated_connections = 50\nunauthenticated_connections_per_peer = 1000";
    let mut site = Site::of(Launch::in_memory().limits(limits));
    let connect = async || site.caller(&site.authority).await.unwrap();
    let root = connect().await;
    let address = local(&site.server);
    let abuse = async {
        let connecting = move || (0..500).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>();
        let mut held = spawn_blocking(connecting).await.unwrap();
        until_open(&mut held, 50).await;
        assert!(held.iter_mut().filter_map(is_open).count() > 0, "they ended without making room");
        for _ in 0..20 {
            connect().await.names().await;
        }
        // All of them were accepted before the newcomers.
        let usage = root.limit("unauthenticated_connections").await;
        assert!(usage.used <= 50 && usage.refused >= 450, "{usage:?}");
        // Those that are left have so much time for their handshakes.
        until_open(&mut held, 0).await;
    };
    beside_over(&site.server, &connect, BOUND, abuse).await;
    let said = site.server.logged();
    assert!(said.contains("\"cause\":\"handshake\""), "{said}");
    site.server.assert_alive();
}

/// Waits until the server has closed all of these connections but so many.
async fn until_open(held: &mut [TcpStream], many: usize) {
    let closed = async {
        while held.iter_mut().filter_map(is_open).count() > many {
            tokio::time::sleep(Duration::from_millis(10)).await; // lets the good client work
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the server closes connections");
}

/// A server that has too much to do refuses requests before their bodies have come.
#[tokio::test]
async fn a_client_that_is_refused_again_and_again_keeps_its_connection() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    root.create("A", "v").await;
    let nobody = root.with(Credential::default());
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let nobody = nobody.clone();
        clients.spawn(async move {
            for _ in 0..500 {
                let refusal = nobody.secrets().create_secret(create("A", "v")).await;
                refused(refusal, Code::Unauthenticated, "CREDENTIAL_MISSING");
            }
        });
    }
    clients.join_all().await;
}

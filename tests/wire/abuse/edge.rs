//! Abuse of the connection itself: floods of frames, headers and bodies that never end, windows that never open, and connections
//! that never authenticate.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use prost::Message;
use strongroom::api::v1::{CreateSecretRequest, ListSecretsRequest};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::beside::{BOUND, beside, key, resident};
use super::raw::{
    CONTINUATION, END_HEADERS, GOAWAY, HEADERS, PING, RESET, Raw, SETTINGS, connect_from, frame, frames,
    headers, local, string,
};
use crate::caller::{Caller, Credential, Room, endpoint};
use crate::harness::{Launch, PATIENCE, Server};
use crate::raw::{Wire, framed};
use crate::refusal::refused;
use crate::requests::{Value, create, get, list};
use crate::tls::Site;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const GET: &str = "/strongroom.v1.SecretService/GetSecret";
const CREATE: &str = "/strongroom.v1.SecretService/CreateSecret";
const LIST: &str = "/strongroom.v1.SecretService/ListSecrets";
/// More of each frame than any limit lets through.
const MANY: usize = 500_000;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// How often an abuser comes back.
const ROUNDS: usize = 10;

/// Sends bytes again and again beside a good client, until the server closes the connection, over several connections.
async fn flood(mut server: Server, bytes: impl Fn(usize) -> Vec<u8> + Send + 'static) {
    let address = local(&server);
    let abuse = async {
        let flooding =
            move || (0..ROUNDS).map(|_| Raw::to(address).until_closed(MANY, &bytes)).collect::<Vec<_>>();
        spawn_blocking(flooding).await.unwrap()
    };
    let sent = beside(&mut server, BOUND, abuse).await;
    println!("the server closed the connections after {sent:?}");
    assert!(!server.stop().await.all().contains("panicked"));
}

#[tokio::test]
async fn a_flood_of_pings_is_cut_off() {
    flood(Server::alone(), |_| frame(PING, 0, 0, &[7; 8]).repeat(100)).await;
}

#[tokio::test]
async fn a_flood_of_settings_is_cut_off() {
    let table = [0, 1, 0xff, 0xff, 0xff, 0xff]; // a header table of 4 GiB
    flood(Server::alone(), move |_| frame(SETTINGS, 0, 0, &table).repeat(100)).await;
}

#[tokio::test]
async fn headers_that_never_end_are_cut_off() {
    let begin = frame(HEADERS, 0, 1, &headers(GET, &[]));
    flood(Server::alone(), move |n| if n == 0 { begin.clone() } else { frame(CONTINUATION, 0, 1, &[]) })
        .await;
}

#[tokio::test]
async fn a_stranger_that_resets_all_its_requests_is_cut_off() {
    let block = headers(GET, &[]);
    flood(Server::alone(), move |n| reset(n, &block)).await;
}

#[tokio::test]
async fn a_key_holder_that_resets_all_its_requests_is_cut_off() {
    let server = Server::alone();
    let block = headers(GET, &[("x-api-key", &key(&server).await)]);
    flood(server, move |n| reset(n, &block)).await;
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
    flood(Server::alone(), move |n| {
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
    // A key in force makes no room for more of them, and is served.
    drop(root);
    let wire = Wire::to(&server).await;
    let mut half = Vec::new();
    for _ in 0..16 {
        half.push(wire.begin(CHECK, vec![0, 0, 0, 16, 0, 1]).await);
    }
    refused(wire.call(CHECK, &[]).await, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
    wire.bearer(&server.root_key).call(LIST, &list().encode_to_vec()).await.unwrap();
    refused(wire.call(CHECK, &[]).await, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
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
    let room = Room::on(&server).await;
    let mut held: Vec<_> = (0..300).map(|_| TcpStream::connect(local(&server)).unwrap()).collect();
    // Connections are accepted in their order, so this one is served after all of those were closed.
    let another = Ipv4Addr::new(127, 0, 0, 2);
    let other = Wire::over(connect_from(another.into(), &server).await.unwrap(), "localhost").await;
    other.bearer(&server.root_key).call(LIST, &list().encode_to_vec()).await.unwrap();
    room.create("A", "v").await;
    assert_eq!(held.iter_mut().filter_map(is_open).count(), 30);
    drop(held);
    beside(&mut server, BOUND, async {}).await;
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
    let root = site.caller(&site.authority).await.unwrap();
    root.create("good", "served").await;
    let address = local(&site.server);
    let held =
        spawn_blocking(move || (0..500).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>());
    let held = held.await.unwrap();
    for _ in 0..20 {
        let newcomer = site.caller(&site.authority).await.unwrap();
        assert_eq!(newcomer.value("good").await, Value::text("served"));
        assert_eq!(root.value("good").await, Value::text("served"));
    }
    site.server.assert_alive();
    drop(held);
}

const SECRETS: usize = 300;
const LISTS: usize = 100;

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
        assert_eq!(lists.join_all().await, [Some(h2::Reason::CANCEL); LISTS]);
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

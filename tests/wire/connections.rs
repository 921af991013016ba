//! Connections that do not speak gRPC, stop in the middle, stay silent, or reach their age: other callers are served
//! meanwhile and afterwards.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use prost::Message;
use strongroom::api::v1::GetSecretResponse;
use tokio::task::JoinSet;
use tonic::Code;

use crate::caller::{Caller, Room};
use crate::harness::{Launch, PATIENCE, Server};
use crate::raw::{Wire, frame, framed};
use crate::refusal::reason_of;
use crate::requests::{Value, create, get, rotate};

const CREATE: &str = "/strongroom.v1.SecretService/CreateSecret";
const GET: &str = "/strongroom.v1.SecretService/GetSecret";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn a_connection_that_talks_garbage_is_closed() {
    let mut server = Server::alone();
    let setting_of_length_5 = [PREFACE, &[0, 0, 5, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]].concat();
    let data_on_stream_0 = [PREFACE, &[0, 0, 1, 0, 0, 0, 0, 0, 0, 7]].concat();
    let huge_frame = [PREFACE, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat();
    let bad_headers =
        [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 3, 1, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff]].concat();
    for garbage in [
        &[0; 100][..],
        &[0xff; 100_000],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client hello where there is no TLS",
        b"SSH-2.0-OpenSSH_9.6 this is not the service you are looking for\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r!",
        &setting_of_length_5,
        &data_on_stream_0,
        &huge_frame,
        &bad_headers,
    ] {
        let mut connection = connect(&server);
        // The server may close before it has read all bytes.
        let _ = connection.write_all(garbage);
        closed_by_server(&mut connection);
    }
    still_serves(&mut server).await;
    ends_without_panic(server).await;
}

#[tokio::test]
async fn http_1_requests_are_not_answered_as_grpc() {
    let mut server = Server::alone();
    for request in [
        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "POST /strongroom.v1.SecretService/ListSecrets HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/grpc\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0",
    ] {
        let mut connection = connect(&server);
        connection.write_all(request.as_bytes()).unwrap();
        let reply = closed_by_server(&mut connection);
        assert!(!reply.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&reply));
    }
    still_serves(&mut server).await;
    ends_without_panic(server).await;
}

#[tokio::test]
async fn half_open_connections_hold_up_nobody() {
    let mut server = Server::alone();
    let mut held = Vec::new();
    for n in 0..200 {
        let mut connection = connect(&server);
        connection.write_all(&PREFACE[..n % PREFACE.len()]).unwrap();
        if n % 3 == 0 {
            connection.shutdown(Shutdown::Write).unwrap();
        }
        held.push(connection);
    }
    still_serves(&mut server).await;
    drop(held);
    still_serves(&mut server).await;
    ends_without_panic(server).await;
}

#[tokio::test]
async fn requests_given_up_in_the_middle_change_nothing() {
    let mut server = Server::alone();
    let root = Caller::root(&server).await;
    root.create("A", "v").await;
    let before = root.get("A").await;
    let half = |message: Vec<u8>| {
        let whole = framed(&message);
        whole[..whole.len() - 1].to_vec()
    };
    for round in 0..50 {
        let wire = Wire::as_root(&server).await;
        let mut creation = wire.begin(CREATE, half(create("half", "v").encode_to_vec())).await;
        let rotation = "/strongroom.v1.SecretService/RotateSecret";
        let rotation = wire.begin(rotation, half(rotate("A", "w").encode_to_vec())).await;
        if round % 2 == 0 {
            creation.body.send_reset(h2::Reason::CANCEL);
        }
        drop((creation, rotation, wire));
    }
    still_serves(&mut server).await;
    assert_eq!(root.get("A").await, before);
    assert_eq!(root.names().await, ["A"]);
    ends_without_panic(server).await;
}

#[tokio::test]
async fn odd_headers_are_refused_in_form() {
    let mut server = Server::alone();
    let wire = Wire::as_root(&server).await;
    // The gRPC specification leaves the answer to these open, but a failure of the server is wrong.
    let timeouts = ["", "abc", "1", "1x", "-1S", "99999999999999999999H"];
    let odd_timeouts = timeouts.map(|value| wire.header("grpc-timeout", value));
    let content_types = ["application/json", "text/html", "", "application/grpc-web+proto"];
    let odd_types = content_types.map(|value| wire.header("content-type", value));
    for (n, wire) in odd_timeouts.into_iter().chain(odd_types).enumerate() {
        let reply = wire.call(CREATE, &create(&format!("odd_{n}"), "v").encode_to_vec()).await;
        if let Err(status) = reply
            && !status.message().starts_with("HTTP status 4")
        {
            reason_of(&status);
            assert!(!matches!(status.code(), Code::Unknown | Code::Internal), "{n}: {status:?}");
        }
    }
    still_serves(&mut server).await;
    ends_without_panic(server).await;
}

#[tokio::test]
async fn a_deadline_that_passes_is_told_and_leaves_nothing_half_done() {
    let mut server = Server::alone();
    let root = Caller::root(&server).await;
    let wire = Wire::as_root(&server).await.header("grpc-timeout", "1n");
    for n in 0..20 {
        let name = format!("late_{n}");
        let request = strongroom::api::v1::CreateSecretRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            ..create(&name, "v")
        };
        // The answer may be in time all the same.
        if let Err(status) = wire.call(CREATE, &request.encode_to_vec()).await {
            assert_eq!(
                (status.code(), reason_of(&status)),
                (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into())
            );
            let told = ["The change may or may not have been made.", "nothing was changed: allow more time."];
            assert!(told.iter().any(|told| status.message().ends_with(told)), "{status:?}");
        }
        // The same request again makes the secret where it was not made, and gives the same answer where it was.
        let id = root.create_with(request).await.id;
        assert_eq!(root.get(&name).await.id, id);
        // A read changes nothing, so nothing is said of a change.
        if let Err(status) = wire.call(GET, &get(&name).encode_to_vec()).await {
            assert_eq!(status.message(), "The deadline passed before the answer was ready.");
        }
    }
    assert_eq!(root.names().await.len(), 20);
    still_serves(&mut server).await;
    ends_without_panic(server).await;
}

#[tokio::test]
async fn an_unauthenticated_flood_of_data_is_refused_without_being_read() {
    let mut server = Server::alone();
    let wire = Wire::to(&server).await;
    for _ in 0..20 {
        let body = frame(0, u32::MAX, &vec![0x5a; 4 << 20]);
        let status = wire.send(CREATE, body).await.map(drop).expect_err("no credential");
        assert_eq!((status.code(), reason_of(&status)), (Code::Unauthenticated, "CREDENTIAL_MISSING".into()));
    }
    still_serves(&mut server).await;
    ends_without_panic(server).await;
}

fn connect(server: &Server) -> TcpStream {
    let connection = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

/// Reads until the server has closed the connection.
#[track_caller]
fn closed_by_server(connection: &mut TcpStream) -> Vec<u8> {
    let mut reply = Vec::new();
    if let Err(error) = connection.read_to_end(&mut reply) {
        // A reset closes the connection too; a time-out does not.
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server keeps the connection open");
    }
    reply
}

async fn still_serves(server: &mut Server) {
    server.assert_alive();
    let room = Room::on(server).await;
    room.create("A", "v").await;
    assert_eq!(room.value("A").await, Value::text("v"));
}

async fn ends_without_panic(server: Server) {
    assert!(!server.stop().await.all().contains("panicked"));
}

#[tokio::test]
async fn a_reply_comes_through_the_narrowest_window() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    root.create("a", &"v".repeat(300)).await;
    let whole = root.get("a").await.encode_to_vec();
    for window in 1..=6 {
        let wire = Wire::with_window(&server, window).await.bearer(&server.root_key);
        let path = "/strongroom.v1.SecretService/GetSecret";
        let reply = wire.call(path, &get("a").encode_to_vec()).await.unwrap();
        let secret = GetSecretResponse::decode(reply.get_ref().as_slice()).unwrap().secret.unwrap();
        assert_eq!(secret.encode_to_vec(), whole, "a window of {window}");
    }
}

/// A server whose connections live for 1 second, and for a grace.
fn ageing(grace: &str) -> Server {
    let launch = Launch::in_memory().argument("--max-connection-age").argument("1s");
    launch.argument("--max-connection-age-grace").argument(grace).start()
}

/// tonic's client opens a new connection by itself. It gives up a call that waits to be sent when the old one ends (hyper
/// issue 3673): that call has not reached the server, and can be made again. No call fails in another way.
#[tokio::test]
async fn clients_go_on_over_a_new_connection_when_theirs_reaches_its_age() {
    let mut server = ageing("60s");
    let room = Room::on(&server).await;
    room.create("A", "v").await;
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for _ in 0..8 {
        let mut secrets = room.secrets();
        callers.spawn(async move {
            while began.elapsed() < Duration::from_secs(4) {
                let reply = match secrets.get_secret(get("A")).await {
                    Err(unsent) if format!("{unsent:?}").contains("hyper::Error(Canceled") => {
                        secrets.get_secret(get("A")).await
                    }
                    reply => reply,
                };
                let secret = reply.unwrap().into_inner().secret.unwrap();
                assert_eq!(Value::of(&secret), Value::text("v"));
            }
        });
    }
    callers.join_all().await;
    let peers = peers(&server);
    assert!((3..=5).contains(&peers.len()), "a connection a second, and not {peers:?}");
    still_serves(&mut server).await;
    ends_without_panic(server).await;
}

/// The other ends of the connections that requests came by, as the audit has them.
fn peers(server: &Server) -> BTreeSet<String> {
    let logged = server.logged();
    let peers = logged.lines().filter_map(|line| Some(line.split_once("\"peer\":\"")?.1.split_once('"')?.0));
    peers.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_request_that_is_under_way_when_its_connection_reaches_its_age_is_answered() {
    let server = ageing("60s");
    let wire = Wire::as_root(&server).await;
    let whole = framed(&create("A", "v").encode_to_vec());
    let (first, rest) = whole.split_at(7);
    let begun = wire.begin(CREATE, first.to_vec()).await;
    wire.told_to_go_away().await;
    begun.end(rest.to_vec()).await.unwrap();
    wire.closed_by_server().await;
    assert_eq!(Caller::root(&server).await.value("A").await, Value::text("v"));
    ends_without_panic(server).await;
}

#[tokio::test]
async fn a_connection_is_closed_with_its_grace_whatever_is_under_way_on_it() {
    let server = ageing("1s");
    let began = Instant::now();
    let wire = Wire::as_root(&server).await;
    let begun = wire.begin(CREATE, framed(&create("A", "v").encode_to_vec())).await;
    // A client that goes on as if it had not been told.
    let mut deaf = connect(&server);
    deaf.write_all(&[PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).unwrap();
    let deaf = tokio::task::spawn_blocking(move || closed_by_server(&mut deaf));
    wire.closed_by_server().await;
    begun.end(Vec::new()).await.map(drop).unwrap_err();
    let told = deaf.await.unwrap();
    assert!(frames(&told).contains(&GOAWAY), "{told:?}");
    assert!(began.elapsed() >= Duration::from_secs(2));
    ends_without_panic(server).await;
}

const GOAWAY: u8 = 7;

/// The types of HTTP/2's frames, in their order.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [l1, l2, l3, kind, ..] = *bytes {
        types.push(kind);
        let length = u32::from_be_bytes([0, l1, l2, l3]) as usize;
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    types
}

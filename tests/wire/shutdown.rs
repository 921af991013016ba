//! The end of a server: at a signal, it finishes the requests that it has begun and exits with 0.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use strongroom::api::v1::CreateBackupRequest;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Code;

use crate::caller::{Caller, Room};
use crate::harness::{Launch, Server};
use crate::refusal::gone;
use crate::requests::{create, get};

#[tokio::test]
async fn both_signals_end_an_idle_server_well() {
    for signal in ["TERM", "INT"] {
        let server = Server::alone();
        server.signal(signal);
        server.ended_well().await;
    }
}

#[tokio::test]
async fn the_signals_of_users_do_nothing() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    for signal in ["USR1", "USR2", "HUP"] {
        server.signal(signal);
        room.create(signal, "v").await;
    }
    server.signal("TERM");
    server.ended_well().await;
}

#[tokio::test]
async fn a_client_that_stays_connected_does_not_hold_up_the_end() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("A", "v").await;
    server.stop().await;
    let status = room.secrets().get_secret(get("A")).await.expect_err("the server has ended");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_prevent_the_end() {
    let server = Server::alone();
    let silent = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut halting = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    halting.write_all(b"PRI * HTTP").unwrap();
    server.stop().await;
    drop((silent, halting));
}

#[tokio::test]
async fn requests_in_flight_are_answered_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let mut creates = JoinSet::new();
    for n in 0..64 {
        let mut secrets = root.secrets();
        creates.spawn(async move {
            let name = format!("n{n}");
            let reply = secrets.create_secret(create(&name, "v")).await;
            reply.map(|_| name)
        });
    }
    let first = creates.join_next().await.unwrap().unwrap().unwrap();
    server.signal("TERM");
    let mut acknowledged = vec![first];
    while let Some(created) = creates.join_next().await {
        match created.unwrap() {
            Ok(name) => acknowledged.push(name),
            Err(status) => gone(&status),
        }
    }
    server.ended_well().await;

    let server = Launch::durable(folder.path()).start();
    let there = Caller::root(&server).await.names().await;
    let lost: Vec<_> = acknowledged.iter().filter(|name| !there.contains(name)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    server.stop().await;
}

/// For longer than a second: an earlier release cut off then what was still being read.
#[tokio::test]
async fn a_backup_that_is_read_slowly_is_whole_before_the_end() {
    const SECRETS: usize = 60;
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let value = "v".repeat(60_000);
    for n in 0..SECRETS {
        root.create(&format!("n{n}"), &value).await;
    }
    let mut replies = root.operator().create_backup(CreateBackupRequest {}).await.unwrap().into_inner();
    let mut read = replies.message().await.unwrap().expect("a backup has a part").chunk.len();
    server.signal("TERM");
    let mut revision = 0;
    while let Some(reply) = replies.message().await.unwrap() {
        read += reply.chunk.len();
        revision = reply.revision;
        sleep(Duration::from_millis(400)).await;
    }
    assert!(revision > 0 && read > SECRETS * value.len(), "{read} bytes, revision {revision}");
    let log = server.ended_well().await.stderr;
    assert!(!log.contains("cut off"), "{log}");
}

//! `strongroom status`, and the numbers that it shows.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use strongroom::api::v1::{GetStatusRequest, RotationPolicy, UpdateSecretRequest};

use crate::access_commands::Cli;
use crate::caller::Caller;
use crate::harness::Launch;
use crate::loading::Loading;

#[tokio::test]
async fn the_status_has_rotations_expiries_and_keys() {
    let server = Launch::in_memory().start();
    let root = Caller::root(&server).await;
    let secret = root.create("a", "v").await;
    let interval = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let policy = RotationPolicy { interval, ..RotationPolicy::default() };
    let soon = secret.created_at.unwrap().seconds + 3 * 24 * 60 * 60;
    let update = UpdateSecretRequest {
        name: "a".into(),
        rotation_policy: Some(policy),
        expires_at: Some(prost_types::Timestamp { seconds: soon, nanos: 0 }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["rotation_policy".into(), "expires_at".into()],
        }),
        ..UpdateSecretRequest::default()
    };
    root.secrets().update_secret(update).await.unwrap();
    let status = root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    let rotations = status.rotations.unwrap();
    assert_eq!((rotations.planned, rotations.due, rotations.overdue, rotations.failing), (1, 0, 0, 0));
    assert_eq!((status.secrets, status.expiring_secrets), (1, 1));
    assert_eq!((status.api_keys, status.unused_api_keys, status.bindings), (1, 0, 1));
    assert_eq!((status.watches, status.revisions_behind), (0, Some(0)));
    assert!(status.unready_causes.is_empty());
    assert!(status.server_time.unwrap().seconds >= status.started_at.unwrap().seconds);

    let cli = Cli { server: &server, key: &server.root_key };
    let json = cli.json(&["status"]);
    assert_eq!((&json["serving"], &json["rotations"]["planned"]), (&Json::from(true), &Json::from(1)));
    let output = cli.run(&["status", "-o", "table"]);
    let table = String::from_utf8(output.stdout).unwrap();
    let rotations = "rotations    1 planned, 0 due, 0 overdue, 0 failing\n";
    assert!(table.contains(rotations) && table.contains("serving      yes\n"), "{table}");
    server.stop().await;
}

#[tokio::test]
async fn a_watched_status_that_is_no_terminal_is_a_line_of_json_each_time() {
    let server = Launch::in_memory().start();
    let mut child = Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(["status", "--watch", "1s"])
        .env("STRONGROOM_SERVER", &server.url)
        .env("STRONGROOM_API_KEY", &server.root_key)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let json: Json = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(json["serving"], true);
        assert_eq!(json["api_keys"], 1);
    }
    server.stop().await;
    // The service has gone, and the command goes on.
    let gone = lines.map(|line| serde_json::from_str::<Json>(&line.unwrap()).unwrap());
    let gone = gone.into_iter().find(|json| json["serving"] == false).unwrap();
    assert!(gone["error"].as_str().is_some_and(|error| !error.is_empty()), "{gone}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn the_status_of_a_server_that_loads_says_so() {
    let loading = Loading::start();
    let cli = Cli { server: &loading.server, key: "" };
    let output = cli.run(&["status", "-o", "table"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    let why = "serving  no: The server is starting, and has not loaded its store yet: try again.\n";
    assert!(said.contains(why), "{said}");
}

//! A server that loads its store: its addresses answer from the beginning.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::caller::{Caller, endpoint};
use crate::harness::{Launch, Server};
use crate::metrics;
use crate::raw::Wire;
use crate::refusal::refused;

/// Asserts that a server lives and is not ready, and refuses requests in a way that says so.
pub async fn assert_loading(server: &Server) {
    let mut health = HealthClient::new(endpoint(&server.url).connect().await.unwrap());
    let expected = [
        ("liveness", ServingStatus::Serving),
        ("", ServingStatus::NotServing),
        ("strongroom.v1.SecretService", ServingStatus::NotServing),
    ];
    for (service, status) in expected {
        let reply = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(reply.into_inner().status(), status, "{service:?}");
    }
    let get = Wire::to(server).await.call("/strongroom.v1.SecretService/GetSecret", &[]).await;
    let status = refused(get, Code::Unavailable, "STORE_UNAVAILABLE");
    assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{status:?}");

    let address = server.metrics_address();
    assert_eq!(metrics::get(&address, "/livez").await, (200, "The server lives.\n".to_owned()));
    let why = "Not ready: the server is starting, and has not loaded its store yet.\n".to_owned();
    assert_eq!(metrics::get(&address, "/readyz").await, (503, why));
    let text = metrics::page(&address).await;
    assert!(text.contains("strongroom_unready{cause=\"loading\"} 1"), "{text}");
    assert!(text.contains("strongroom_ready 0"), "{text}");
}

/// A server that waits for its master key until the test gives it: until then, its store cannot be opened.
pub struct Loading {
    pub server: Server,
    pipe: PathBuf,
    _folder: TempDir,
}

impl Loading {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let command = format!("cat {}", pipe.display());
        let arguments =
            ["--store", "memory", "--metrics-listen", "127.0.0.1:0", "--master-key-command", &command];
        let launch = Launch::durable(&folder.path().join("data"));
        let server = arguments.into_iter().fold(launch, Launch::argument).start_loading();
        Self { server, pipe, _folder: folder }
    }

    /// Gives it the key, and waits until it is ready.
    fn finish(&mut self) {
        let generate = ["master-key", "generate"];
        let key = Command::new(env!("CARGO_BIN_EXE_strongroom")).args(generate).output().unwrap();
        std::fs::write(&self.pipe, &key.stdout).unwrap();
        self.server.wait_until_ready();
    }
}

#[tokio::test]
async fn a_server_answers_while_it_loads_and_serves_the_same_connection_afterwards() {
    let mut loading = Loading::start();
    assert_loading(&loading.server).await;
    let early = Wire::to(&loading.server).await;
    let who = "/strongroom.v1.AccessService/WhoAmI";
    refused(early.call(who, &[]).await, Code::Unavailable, "STORE_UNAVAILABLE");

    loading.finish();
    let server = loading.server;
    refused(early.call(who, &[]).await, Code::Unauthenticated, "CREDENTIAL_MISSING");
    Caller::root(&server).await.create("a", "v").await;
    let ready = metrics::get(&server.metrics_address(), "/readyz").await;
    assert_eq!(ready, (200, "The server is ready.\n".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_loads_can_be_stopped() {
    let Loading { server, .. } = Loading::start();
    server.stop().await;
}

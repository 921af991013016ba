//! A disk that is full or refuses writes: changes are refused within a bound, and reads continue. Once the disk takes writes
//! again, so does the service, without a restart.

pub mod small;

use std::time::Duration;

use strongroom::api::v1::{CreateSecretRequest, GetStatusRequest};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::{Code, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;
use uuid::Uuid;

use self::small::SmallDisk;
use crate::caller::{Caller, endpoint};
use crate::harness::{Launch, PATIENCE, Server};
use crate::refusal::{not_found, reason_of, refused};
use crate::requests::{Value, create, describe, get, rename, rotate};

/// The longest time that an answer may take, in any state of the disk.
const BOUND: Duration = Duration::from_secs(10);
/// The size of a `SmallDisk` in MiB.
const SIZE: u32 = 64;

#[tokio::test]
async fn a_full_disk_refuses_changes_and_serves_again_once_there_is_room() {
    let disk = SmallDisk::new(SIZE);
    let server = disk.launch().start();
    let mut secrets = Acknowledged::furnish(&server).await;
    for _ in 0..3 {
        disk.fill();
        secrets.refused_while_it_lasts(&server).await;
        disk.free();
        secrets.all_there_again(&server).await;
    }
    server.kill();
    let server = disk.launch().start();
    secrets.all_there(&Caller::root(&server).await).await;
    server.stop().await;
}

#[tokio::test]
async fn a_store_that_has_filled_its_disk_serves_again_once_the_disk_has_grown() {
    let disk = SmallDisk::new(SIZE);
    let server = disk.launch().start();
    let mut secrets = Acknowledged::furnish(&server).await;
    secrets.refused_while_it_lasts(&server).await;
    disk.resize(2 * SIZE);
    secrets.all_there_again(&server).await;
    server.kill();
    let server = disk.launch().start();
    secrets.all_there(&Caller::root(&server).await).await;
    server.stop().await;
}

#[tokio::test]
async fn a_kill_and_failed_starts_on_a_full_disk_lose_nothing() {
    let disk = SmallDisk::new(SIZE);
    let server = disk.launch().start();
    let mut secrets = Acknowledged::furnish(&server).await;
    disk.fill();
    secrets.refused_while_it_lasts(&server).await;
    server.kill();
    for _ in 0..3 {
        let said = disk.launch().refused().all();
        assert!(said.contains("space"), "the refusal does not say why:\n{said}");
    }
    disk.free();
    let server = disk.launch().start();
    secrets.all_there(&Caller::root(&server).await).await;
    server.stop().await;
}

#[tokio::test]
async fn a_first_start_on_a_full_disk_is_refused_and_succeeds_once_there_is_room() {
    let disk = SmallDisk::new(SIZE);
    disk.fill();
    disk.launch().refused();
    disk.free();
    let server = disk.launch().start();
    Acknowledged::furnish(&server).await.all_there(&Caller::root(&server).await).await;
    server.stop().await;
}

/// A limit on the size of files makes writes fail with another error than that of a full disk. It needs no small disk.
#[tokio::test]
async fn another_write_error_is_handled_like_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    // The kernel sends a signal with this error, which would end the process.
    let launch = || Launch::durable(folder.path()).through(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    let server = launch().start();
    let mut secrets = Acknowledged::furnish(&server).await;
    small::limit_files(&server, "200000");
    secrets.refused_while_it_lasts(&server).await;
    small::limit_files(&server, "unlimited");
    secrets.all_there_again(&server).await;
    server.kill();
    let server = launch().start();
    secrets.all_there(&Caller::root(&server).await).await;
    server.stop().await;
}

/// The secrets that a server has acknowledged, and the creates that it has refused.
struct Acknowledged {
    made: Vec<(String, String)>,
    /// Creates that were refused. Each may have been made nevertheless: sending it again tells.
    unknown: Vec<CreateSecretRequest>,
    serial: u32,
}

impl Acknowledged {
    /// Creates the first secrets of a server.
    async fn furnish(server: &Server) -> Self {
        let root = Caller::root(server).await;
        let mut secrets = Self { made: Vec::new(), unknown: Vec::new(), serial: 0 };
        for _ in 0..60 {
            let request = secrets.next(100);
            root.create_with(request.clone()).await;
            secrets.made.push((request.name, text_of(request.value)));
        }
        secrets
    }

    /// Writes until the server refuses, and asserts how the server behaves until the disk takes writes again.
    async fn refused_while_it_lasts(&mut self, server: &Server) {
        let root = Caller::root(server).await;
        let mut health = Health::watch(server).await;
        health.becomes(ServingStatus::Serving).await;
        loop {
            let request = self.next(60_000);
            match bounded(root.secrets().create_secret(request.clone())).await {
                Ok(_) => self.made.push((request.name, text_of(request.value))),
                Err(status) => {
                    unavailable::<()>(Err(status));
                    self.unknown.push(request);
                    break;
                }
            }
            assert!(self.serial < 10_000, "the disk does not fill");
        }
        health.becomes(ServingStatus::NotServing).await;

        // Every kind of change is refused, also many changes at once.
        let name = self.made[0].0.clone();
        unavailable(bounded(root.secrets().rotate_secret(rotate(&name, "w"))).await);
        unavailable(bounded(root.secrets().update_secret(describe(&name, "d"))).await);
        unavailable(bounded(root.secrets().update_secret(rename(&name, "another"))).await);
        let mut many = JoinSet::new();
        for _ in 0..50 {
            let (request, mut secrets) = (self.next(60_000), root.secrets());
            self.unknown.push(request.clone());
            many.spawn(async move { unavailable(bounded(secrets.create_secret(request)).await) });
        }
        many.join_all().await;

        // The list is complete and shows no refused secret. Most values can be read, and none is wrong. sled cannot read
        // values that share a page with a failed write; in a small store those can be all values.
        let listed = timeout(BOUND, root.names()).await.expect("a list within the bound");
        let mut served = 0;
        for (name, value) in &self.made {
            assert!(listed.contains(name), "{name} is not listed");
            let read = bounded(root.secrets().get_secret(get(name))).await;
            match read {
                Ok(read) => {
                    assert_eq!(Value::of(&read.into_inner().secret.unwrap()), Value::text(value.as_str()));
                    served += 1;
                }
                Err(status) => unavailable::<()>(Err(status)),
            }
        }
        assert!(served * 2 > self.made.len(), "only {served} of {} values can be read", self.made.len());
        assert_eq!(listed.len(), self.made.len(), "the list shows refused secrets");
        for request in &self.unknown {
            not_found(bounded(root.secrets().get_secret(get(&request.name))).await, &request.name);
        }
    }

    /// Asserts that the server recovers without a restart, and has everything.
    async fn all_there_again(&mut self, server: &Server) {
        let mut health = Health::watch(server).await;
        health.becomes(ServingStatus::Serving).await;
        let root = Caller::root(server).await;
        let request = self.next(60_000);
        root.create_with(request.clone()).await;
        self.made.push((request.name, text_of(request.value)));
        self.all_there(&root).await;
    }

    /// Asserts that every acknowledged secret is there, and that every refused one is whole or absent and can be created.
    async fn all_there(&mut self, root: &Caller) {
        let status = root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
        assert_eq!(status.damaged_records, 0);
        for request in self.unknown.drain(..) {
            let (name, value) = (request.name.clone(), text_of(request.value.clone()));
            let there = root.secrets().get_secret(get(&name)).await;
            let before = there.map(|reply| reply.into_inner().secret.unwrap());
            let made = root.create_with(request).await;
            match before {
                Ok(before) => assert_eq!((&made.id, made.revision), (&before.id, before.revision)),
                Err(status) => assert_eq!(reason_of(&status), "SECRET_NOT_FOUND"),
            }
            self.made.push((name, value));
        }
        for (name, value) in &self.made {
            let read = root.get(name).await;
            assert_eq!((Value::of(&read), read.version), (Value::text(value.as_str()), 1), "{name}");
        }
        let mut listed = root.names().await;
        let mut made: Vec<_> = self.made.iter().map(|(name, _)| name.clone()).collect();
        listed.sort();
        made.sort();
        assert_eq!(listed, made);
    }

    /// The next create, with a value of about this size. A few hundred large values fill the disk.
    fn next(&mut self, size: usize) -> CreateSecretRequest {
        self.serial += 1;
        let value = format!("value {} {}", self.serial, "x".repeat(size));
        CreateSecretRequest {
            request_id: Uuid::new_v4().to_string(),
            ..create(&format!("n{}", self.serial), &value)
        }
    }
}

fn text_of(value: Option<strongroom::api::v1::SecretValue>) -> String {
    match value.and_then(|mut value| value.kind.take()) {
        Some(strongroom::api::v1::secret_value::Kind::Text(text)) => text,
        _ => panic!("these values are text"),
    }
}

/// A reply. Asserts that it comes within the bound.
async fn bounded<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<Response<T>, Status> {
    timeout(BOUND, call).await.expect("an answer within the bound")
}

/// Asserts a refusal which says that the store cannot serve, and when to try again.
#[track_caller]
fn unavailable<T>(reply: Result<Response<T>, Status>) {
    let status = refused(reply, Code::Unavailable, "STORE_UNAVAILABLE");
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(
        retry.is_some_and(|delay| !delay.is_zero()),
        "the refusal does not say when to try again: {status:?}"
    );
}

/// Watches the health of a server.
pub struct Health(tonic::Streaming<tonic_health::pb::HealthCheckResponse>);

impl Health {
    pub async fn watch(server: &Server) -> Self {
        Self::of(server, "strongroom.v1.SecretService").await
    }

    /// Watches the health of a service.
    pub async fn of(server: &Server, service: &str) -> Self {
        let channel = endpoint(&server.url).connect().await.unwrap();
        let request = HealthCheckRequest { service: service.into() };
        Self(HealthClient::new(channel).watch(request).await.unwrap().into_inner())
    }

    /// Waits for this status.
    pub async fn becomes(&mut self, wanted: ServingStatus) {
        let become_it = async {
            while self.0.next().await.expect("health goes on").expect("health is told").status() != wanted {}
        };
        timeout(PATIENCE, become_it).await.unwrap_or_else(|_| panic!("health does not become {wanted:?}"));
    }
}

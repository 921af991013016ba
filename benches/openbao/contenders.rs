//! The two servers, and the requests to them.

use std::path::Path;

use strongroom::api::v1::access_service_client::AccessServiceClient;
use strongroom::api::v1::secret_value::Kind;
use strongroom::api::v1::{
    CreateApiKeyRequest, CreateSecretRequest, GetSecretRequest, RotateSecretRequest, SecretValue,
};
use tempfile::TempDir;

use crate::bao::Bao;
use crate::http1;
use crate::tools::{Connections, Process, Request, Server, Start, data_folder};

/// The requests at a time.
pub const IN_FLIGHT: usize = 64;
/// Those over gRPC, which has many requests at a time on each.
const CONNECTIONS: usize = 4;
const SECRETS: usize = 1000;
/// A connection waits for its turn, without a request until then.
const CONFIG: &str = "[limits]\nauthentication_time = \"1h\"\n";

const READS: usize = 6_000;
const REWRITES: usize = 2_000;

/// A server, and the requests that are measured on it.
pub struct Contender<'a> {
    pub name: &'static str,
    pub process: &'a Process,
    pub load: Load,
    pub requests_of_a_round: usize,
}

/// Requests that take turns, and their connections.
pub enum Load {
    Grpc(Connections, Vec<Request>),
    Http1(http1::Connections, Vec<http1::Request>),
}

impl Load {
    /// Sends so many requests. All must be answered.
    pub async fn send(&mut self, many: usize) {
        match self {
            Self::Grpc(connections, requests) => {
                connections.send(requests, many, IN_FLIGHT).await;
            }
            Self::Http1(connections, requests) => connections.send(requests, many).await,
        }
    }
}

/// The servers with their secrets.
pub struct Servers {
    strongroom: Server,
    /// An API key with the role `editor`.
    key: String,
    bao: Bao,
    _folders: [TempDir; 2],
}

impl Servers {
    /// Starts them, and creates the secrets. `bao`: OpenBao's program.
    pub async fn start(bao: &Path) -> Self {
        let folders = [(); 2].map(|()| data_folder());
        let folder = folders[0].path();
        let strongroom =
            Server::start(&Start { folder, store: "sled", config: CONFIG, tls: None, processor: None });
        let key = CreateApiKeyRequest { name: "bench".into(), ..Default::default() };
        let mut access = AccessServiceClient::new(strongroom.channel().await);
        let made = access.create_api_key(strongroom.request(key)).await.expect("an API key");
        let key = made.into_inner().credential;
        let bao = Bao::start(bao, folders[1].path()).await;
        let servers = Self { strongroom, key, bao, _folders: folders };
        servers.grpc(creates(&servers.key)).await.send(SECRETS).await;
        servers.http1(servers.bao.writes(names(), &value())).await.send(SECRETS).await;
        servers
    }

    pub async fn contenders(&self) -> [Contender<'_>; 5] {
        let (strongroom, bao) = (&self.strongroom.process, &self.bao.process);
        let contender =
            |name, process, load, requests_of_a_round| Contender { name, process, load, requests_of_a_round };
        [
            contender("read", strongroom, self.grpc(reads(&self.key)).await, READS),
            contender("openbao_read", bao, self.http1(self.bao.reads(names(), true)).await, READS),
            contender(
                "openbao_read_no_default",
                bao,
                self.http1(self.bao.reads(names(), false)).await,
                READS,
            ),
            contender("rewrite", strongroom, self.grpc(rewrites(&self.key)).await, REWRITES),
            contender("openbao_rewrite", bao, self.http1(self.bao.writes(names(), &value())).await, REWRITES),
        ]
    }

    async fn grpc(&self, requests: Vec<Request>) -> Load {
        Load::Grpc(Connections::open(&self.strongroom.process, None, CONNECTIONS).await, requests)
    }

    async fn http1(&self, requests: Vec<http1::Request>) -> Load {
        Load::Http1(http1::Connections::open(&self.bao.process.address, IN_FLIGHT).await, requests)
    }
}

fn creates(key: &str) -> Vec<Request> {
    let message = |name| CreateSecretRequest { name, value: secret_value(), ..Default::default() };
    let request = |name| Request::new("strongroom.v1.SecretService/CreateSecret", key, &message(name));
    names().map(request).collect()
}

fn reads(key: &str) -> Vec<Request> {
    let message = |name| GetSecretRequest { name, ..Default::default() };
    let request = |name| Request::new("strongroom.v1.SecretService/GetSecret", key, &message(name));
    names().map(request).collect()
}

fn rewrites(key: &str) -> Vec<Request> {
    let message = |name| RotateSecretRequest { name, value: secret_value(), ..Default::default() };
    let request = |name| Request::new("strongroom.v1.SecretService/RotateSecret", key, &message(name));
    names().map(request).collect()
}

fn names() -> impl Iterator<Item = String> {
    (0..SECRETS).map(|number| format!("service_{number:07}_database_password"))
}

fn value() -> String {
    "v".repeat(256)
}

fn secret_value() -> Option<SecretValue> {
    Some(SecretValue { kind: Some(Kind::Text(value())) })
}

//! The servers that are measured, and the requests to them.

use std::path::Path;
use std::process::Command;

use prost::Message;
use strongroom::api::v1::secret_value::Kind;
use strongroom::api::v1::{
    CreateSecretRequest, GetSecretRequest, GetSecretResponse, ListSecretsRequest, RotateSecretRequest,
    SecretValue,
};
use tempfile::TempDir;

use crate::tools::{Certificate, Connections, Process, Request, Server, Start, data_folder};
use crate::{ECHO, FEW, echo};

/// The requests at a time on all connections.
pub const IN_FLIGHT: usize = 64;
const CONNECTIONS: usize = 4;
/// The requests at a time while secrets are made.
const WRITERS: usize = 256;
/// The values that the metadata pair `owner` has, and so the part of the secrets that a filter by one finds.
const OWNERS: usize = 10;
/// The secrets that reads of many take turns with. They are spread over all.
const READ: usize = 1000;
const PAGE: usize = 100;
/// A connection waits for its turn, without a request until then.
pub const CONFIG: &str = "[limits]\nauthentication_time = \"1h\"\n";

const GETS: usize = 20_000;
const LISTS: usize = 2_000;
const CHANGES: usize = 5_000;
/// As many creates as all rounds take: each name can be taken once.
const CREATES: usize = 16 * CHANGES;

/// The results, each the ratio of one contender's cost to that of another.
pub const RATIOS: [(&str, &str, &str); 8] = [
    ("get_cpu_vs_echo", "get", "echo"),
    ("get_tls_cpu_vs_echo_tls", "get_tls", "echo_tls"),
    ("get_1m_vs_1k", "get_1m", "get"),
    ("list_page_1m_vs_1k", "list_page_1m", "list_page"),
    ("list_filtered_1m_vs_1k", "list_filtered_1m", "list_filtered"),
    ("get_vs_other_build", "get", "get_other"),
    ("create_vs_other_build", "create", "create_other"),
    ("rotate_vs_other_build", "rotate", "rotate_other"),
];

/// A server, and the requests that are measured on it.
pub struct Contender<'a> {
    pub name: &'static str,
    pub process: &'a Process,
    pub connections: Connections,
    pub requests: Vec<Request>,
    pub requests_of_a_round: usize,
}

/// The servers with few secrets, and the echoes.
pub struct Few {
    _folders: Vec<TempDir>,
    certificate: Certificate,
    plain: Server,
    tls: Server,
    /// Of another build.
    other: Option<Server>,
    echo: Process,
    echo_tls: Process,
}

impl Few {
    /// Starts them, and creates the secrets.
    pub async fn start() -> Self {
        let folders = [(); 3].map(|()| data_folder());
        let certificate = Certificate::make(folders[0].path());
        let plain = start(folders[0].path(), None);
        create(&plain, None, FEW).await;
        let tls = start(folders[1].path(), Some(&certificate));
        create(&tls, Some(&certificate), FEW).await;
        let other = std::env::var_os("STRONGROOM_BENCH_OTHER")
            .map(|program| Server::start_program(&program, &start_in(folders[2].path())));
        if let Some(other) = &other {
            create(other, None, FEW).await;
        }
        let size = reply_size(&plain).await;
        let start_echo = |certificate: Option<&Certificate>| {
            let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
            command.args([ECHO, &size.to_string()]);
            command.args(certificate.iter().flat_map(|files| [&files.certificate, &files.key]));
            Process::start(command)
        };
        let (echo, echo_tls) = (start_echo(None), start_echo(Some(&certificate)));
        Self { _folders: folders.into(), certificate, plain, tls, other, echo, echo_tls }
    }

    /// The contenders. Changes are no part of a whole run, but they can be chosen, and are compared with those of another build.
    pub async fn contenders(&self, is_whole: bool) -> Vec<Contender<'_>> {
        let certificate = Some(&self.certificate);
        let mut all = vec![
            Contender {
                requests: gets(echo::RPC, &self.plain.key, FEW),
                ..contender("echo", &self.echo, None, GETS).await
            },
            get("get", &self.plain, None, FEW).await,
        ];
        if let Some(other) = &self.other {
            all.push(get("get_other", other, None, FEW).await);
            all.extend(changes(["create_other", "rotate_other"], other).await);
        }
        if self.other.is_some() || !is_whole {
            all.extend(changes(["create", "rotate"], &self.plain).await);
        }
        all.push(Contender {
            requests: gets(echo::RPC, &self.tls.key, FEW),
            ..contender("echo_tls", &self.echo_tls, certificate, GETS).await
        });
        all.push(get("get_tls", &self.tls, certificate, FEW).await);
        all.extend(lists(["list_page", "list_filtered"], &self.plain, FEW).await);
        all
    }
}

pub fn start(folder: &Path, tls: Option<&Certificate>) -> Server {
    Server::start(&Start { tls, ..start_in(folder) })
}

pub fn start_in(folder: &Path) -> Start<'_> {
    Start { folder, store: "sled", config: CONFIG, tls: None, processor: None }
}

async fn contender<'a>(
    name: &'static str,
    process: &'a Process,
    tls: Option<&Certificate>,
    requests_of_a_round: usize,
) -> Contender<'a> {
    let connections = Connections::open(process, tls, CONNECTIONS).await;
    Contender { name, process, connections, requests: Vec::new(), requests_of_a_round }
}

pub async fn get<'a>(
    name: &'static str,
    server: &'a Server,
    tls: Option<&Certificate>,
    secrets: usize,
) -> Contender<'a> {
    let requests = gets("strongroom.v1.SecretService/GetSecret", &server.key, secrets);
    Contender { requests, ..contender(name, &server.process, tls, GETS).await }
}

/// Reads of secrets that are spread over so many.
fn gets(rpc: &str, key: &str, secrets: usize) -> Vec<Request> {
    let step = secrets / READ;
    let message = |number: usize| GetSecretRequest { name: name(number * step), ..Default::default() };
    (0..READ).map(|number| Request::new(rpc, key, &message(number))).collect()
}

/// Creates, and rotations of the secrets that are there.
async fn changes<'a>([create, rotate]: [&'static str; 2], server: &'a Server) -> [Contender<'a>; 2] {
    let creates = (FEW..FEW + CREATES).map(|number| create_request(server, number));
    let rotations = (0..FEW).map(|number| {
        let message = RotateSecretRequest { name: name(number), value: value(), ..Default::default() };
        Request::new("strongroom.v1.SecretService/RotateSecret", &server.key, &message)
    });
    [
        Contender { requests: creates.collect(), ..contender(create, &server.process, None, CHANGES).await },
        Contender {
            requests: rotations.collect(),
            ..contender(rotate, &server.process, None, CHANGES).await
        },
    ]
}

/// Pages of all secrets, and of those that a filter finds, at offsets that are spread over all.
pub async fn lists<'a>(
    [page, filtered]: [&'static str; 2],
    server: &'a Server,
    secrets: usize,
) -> [Contender<'a>; 2] {
    let requests = |of: usize, metadata: &[(String, String)]| -> Vec<_> {
        let last = of - PAGE.min(of);
        let offsets = (0..PAGE).map(|number| last * number / (PAGE - 1));
        let message = |offset| ListSecretsRequest {
            offset: i32::try_from(offset).ok(),
            metadata: metadata.iter().cloned().collect(),
            ..Default::default()
        };
        let rpc = "strongroom.v1.SecretService/ListSecrets";
        offsets.map(|offset| Request::new(rpc, &server.key, &message(offset))).collect()
    };
    [
        Contender { requests: requests(secrets, &[]), ..contender(page, &server.process, None, LISTS).await },
        Contender {
            requests: requests(secrets / OWNERS, &[("owner".to_owned(), owner(0))]),
            ..contender(filtered, &server.process, None, LISTS).await
        },
    ]
}

/// Creates secrets of 256 bytes, with two metadata pairs and a description of 40 bytes.
pub async fn create(server: &Server, tls: Option<&Certificate>, secrets: usize) {
    let connections = Connections::open(&server.process, tls, CONNECTIONS).await;
    for from in (0..secrets).step_by(10_000) {
        let numbers = from..secrets.min(from + 10_000);
        let requests: Vec<_> = numbers.map(|number| create_request(server, number)).collect();
        connections.send(&requests, requests.len(), WRITERS).await;
    }
}

fn create_request(server: &Server, number: usize) -> Request {
    let message = CreateSecretRequest {
        name: name(number),
        value: value(),
        description: "The password of the service's database.".into(),
        metadata: [("owner".to_owned(), owner(number)), ("environment".to_owned(), "production".to_owned())]
            .into(),
        ..Default::default()
    };
    Request::new("strongroom.v1.SecretService/CreateSecret", &server.key, &message)
}

fn value() -> Option<SecretValue> {
    Some(SecretValue { kind: Some(Kind::Text("v".repeat(256))) })
}

fn name(number: usize) -> String {
    format!("service_{number:07}_database_password")
}

fn owner(number: usize) -> String {
    format!("team_{}", number % OWNERS)
}

/// The bytes of the reply to a read.
async fn reply_size(server: &Server) -> usize {
    let channel = server.channel().await;
    let message = GetSecretRequest { name: name(0), ..Default::default() };
    let mut client = strongroom::api::v1::secret_service_client::SecretServiceClient::new(channel);
    let reply: GetSecretResponse =
        client.get_secret(server.request(message)).await.expect("a reply").into_inner();
    reply.encoded_len()
}

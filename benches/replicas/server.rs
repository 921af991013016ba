//! A server in a process of its own, and its clients.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use strongroom::api::v1::secret_service_client::SecretServiceClient;
use strongroom::api::v1::secret_value::Kind;
use strongroom::api::v1::{CreateSecretRequest, SecretValue};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// A fast machine makes more changes in a run than one caller may make in a day.
const CONFIG: &str = "[limits]\nidempotency_records_per_principal = 10000000\n";

/// A server that is ready. It is killed when dropped.
pub struct Server {
    child: Child,
    address: String,
    /// Where it serves its metrics.
    metrics: String,
    folder: tempfile::TempDir,
}

/// The build that a server is of.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    This,
    /// The one that `STRONGROOM_BENCH_OTHER` names.
    Other,
}

impl Build {
    /// This one, and the other one where it is named.
    pub fn all() -> Vec<Self> {
        let other = std::env::var_os("STRONGROOM_BENCH_OTHER").map(|_| Self::Other);
        std::iter::once(Self::This).chain(other).collect()
    }

    /// What stands before its results.
    pub fn label(self) -> &'static str {
        match self {
            Self::This => "",
            Self::Other => "other: ",
        }
    }

    fn binary(self) -> OsString {
        match self {
            Self::This => env!("CARGO_BIN_EXE_strongroom").into(),
            Self::Other => std::env::var_os("STRONGROOM_BENCH_OTHER").expect("the path of the other build"),
        }
    }

    /// A server that has its store for itself.
    pub fn over_sled(self, place: &Path) -> Server {
        Server::start(self, place, &["--store", "sled"])
    }

    /// A replica over the store with this prefix, which has the master key of the first one.
    pub fn over_etcd(self, place: &Path, endpoint: &str, prefix: &str, first: Option<&Server>) -> Server {
        let mut arguments = vec!["--store", "etcd", "--etcd-endpoints", endpoint, "--etcd-prefix", prefix];
        let key = first.map(|first| first.folder.path().join("data/master.key").display().to_string());
        if let Some(key) = &key {
            arguments.extend(["--master-key-file", key]);
        }
        Server::start(self, place, &arguments)
    }
}

impl Server {
    fn start(build: Build, place: &Path, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir_in(place).expect("a folder");
        let log = std::fs::File::create(folder.path().join("log")).expect("the log");
        let config = folder.path().join("config.toml");
        std::fs::write(&config, CONFIG).expect("the configuration");
        let mut child = Command::new(build.binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .arg("--config")
            .arg(config)
            .args(["--log-format", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = lines.by_ref().map_while(Result::ok);
        let address = ready
            .filter_map(|line| Some(line.strip_prefix("strongroom is ready on ")?.trim().to_owned()))
            .next();
        let said = || std::fs::read_to_string(folder.path().join("log")).expect("the log");
        let address = address.unwrap_or_else(|| panic!("the server is not ready: {}", said()));
        // The server may write more.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let said = said();
        let line =
            said.lines().find(|line| line.contains("metrics, /livez")).expect("the line about metrics");
        let (_, after) = line.split_once("127.0.0.1:").expect("an address");
        let port: String = after.chars().take_while(char::is_ascii_digit).collect();
        Self { child, address, metrics: format!("127.0.0.1:{port}"), folder }
    }

    pub fn root_key(&self) -> String {
        let key = std::fs::read_to_string(self.folder.path().join("data/root.key")).expect("root.key");
        key.trim().to_owned()
    }

    /// A client with a connection of its own.
    pub async fn client(&self, key: &str) -> Client {
        let endpoint = Endpoint::from_shared(self.address.clone()).expect("an address");
        let channel = endpoint.connect().await.expect("a connection");
        let credential = format!("Bearer {key}").parse().expect("a header");
        Client { secrets: SecretServiceClient::new(channel), credential }
    }

    /// How many changes its commits have had, and how many commits there were.
    pub fn batches(&self) -> (f64, f64) {
        let mut connection = TcpStream::connect(&self.metrics).expect("the metrics");
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("the metrics");
        let mut text = String::new();
        connection.read_to_string(&mut text).expect("the metrics");
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.expect(name).trim().parse::<f64>().expect("a number")
        };
        (number("strongroom_commit_batch_size_sum"), number("strongroom_commit_batch_size_count"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Client {
    secrets: SecretServiceClient<Channel>,
    credential: MetadataValue<Ascii>,
}

impl Client {
    /// Creates a secret of 256 bytes, with a request id, as the client libraries do.
    pub async fn create(&mut self, name: &str) {
        let value = Some(SecretValue { kind: Some(Kind::Text("v".repeat(256))) });
        let request_id = Uuid::new_v4().to_string();
        let create = CreateSecretRequest { name: name.into(), value, request_id, ..Default::default() };
        let mut request = Request::new(create);
        request.metadata_mut().insert("authorization", self.credential.clone());
        self.secrets.create_secret(request).await.expect("the secret is created");
    }
}

//! The server under load, in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use strongroom::api::v1::access_service_client::AccessServiceClient;
use strongroom::api::v1::secret_service_client::SecretServiceClient;
use strongroom::api::v1::secret_value::Kind;
use strongroom::api::v1::{CreateApiKeyRequest, CreateSecretRequest, SecretValue};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

/// The name of the secret that the clients read.
pub const NAME: &str = "BENCH";

/// How many programs share the server's processor, which have always something to do. The clients would not be able to send three
/// times as many requests as a server that has all of a processor, and to keep their deadlines.
const OTHERS: usize = 3;

fn busy() -> Child {
    let mut busy = Command::new("taskset");
    busy.args(["-c", "0", "sh", "-c", "while :; do :; done"]).spawn().expect("a shell")
}

pub struct Server {
    child: Child,
    /// What shares the processor with the server.
    others: Vec<Child>,
    pub address: String,
    pub key: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server in memory, with a secret of 256 bytes and these limits. Its log goes to a file, with all audit records.
    pub async fn start(limits: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = folder.path().join("data");
        let config = folder.path().join("strongroom.toml");
        std::fs::write(&config, format!("[limits]\n{limits}\n")).expect("the configuration");
        let log = std::fs::File::create(folder.path().join("log")).expect("the log");
        let mut child = Command::new("taskset")
            .args(["-c", "0", env!("CARGO_BIN_EXE_strongroom"), "serve", "--store", "memory"])
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir)
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("taskset, of the package util-linux");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("strongroom is ready on http://")?.trim().to_owned()))
            .expect("the server is ready");
        // The server may write more.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let key = std::fs::read_to_string(data_dir.join("root.key")).expect("root.key").trim().to_owned();

        let others = (0..OTHERS).map(|_| busy()).collect();

        let server = Self { child, others, address, key, _folder: folder };
        let value = Some(SecretValue { kind: Some(Kind::Text("v".repeat(256))) });
        let create = CreateSecretRequest { name: NAME.into(), value, ..Default::default() };
        let mut secrets = SecretServiceClient::new(server.channel().await);
        secrets.create_secret(server.request(create)).await.expect("the secret is created");
        server
    }

    /// Makes so many API keys, and gives their credentials.
    pub async fn keys(&self, many: usize) -> Vec<String> {
        let mut access = AccessServiceClient::new(self.channel().await);
        let mut keys = Vec::new();
        for number in 0..many {
            let create = CreateApiKeyRequest { name: format!("key {number}"), ..Default::default() };
            let made = access.create_api_key(self.request(create)).await.expect("the API key is made");
            keys.push(made.into_inner().credential);
        }
        keys
    }

    async fn channel(&self) -> Channel {
        let address = Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        address.connect().await.expect("a connection")
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let credential = format!("Bearer {}", self.key).parse().expect("a header");
        request.metadata_mut().insert("authorization", credential);
        request
    }

    /// The memory of the server, in bytes.
    pub fn resident(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// The most memory that the server had, in bytes.
    pub fn peak(&self) -> usize {
        self.memory("VmHWM:")
    }

    /// The memory of the server once it does not change any more.
    pub async fn settled(&self) -> usize {
        let mut before = 0;
        loop {
            let now = self.resident();
            if now == before {
                return now;
            }
            before = now;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn memory(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.others.iter_mut().chain([&mut self.child]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

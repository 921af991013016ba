//! The server under load, which shares its processor with other programs.

use std::process::{Child, Command};

use strongroom::api::v1::CreateApiKeyRequest;
use strongroom::api::v1::access_service_client::AccessServiceClient;
use tempfile::TempDir;

use crate::tools::{Server, Start};

/// The name of the secret that the clients read.
pub const NAME: &str = "BENCH";

/// How many programs share the server's processor, which have always something to do. The clients would not be able to send three
/// times as many requests as a server that has all of a processor, and to keep their deadlines.
const OTHERS: usize = 3;

/// A server, and what shares the processor with it.
pub struct Shared {
    pub server: Server,
    others: Vec<Child>,
    _folder: TempDir,
}

impl Shared {
    /// Starts a server in memory, with a secret of 256 bytes and these limits.
    pub async fn start(limits: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!("[limits]\n{limits}\n");
        let start = Start {
            folder: folder.path(),
            store: "memory",
            config: &config,
            tls: None,
            processor: Some("0"),
        };
        let server = Server::start(&start);
        server.create(&server.channel().await, NAME).await;
        Self { server, others: (0..OTHERS).map(|_| busy()).collect(), _folder: folder }
    }

    /// Makes so many API keys, and gives their credentials.
    pub async fn keys(&self, many: usize) -> Vec<String> {
        let mut access = AccessServiceClient::new(self.server.channel().await);
        let mut keys = Vec::new();
        for number in 0..many {
            let create = CreateApiKeyRequest { name: format!("key {number}"), ..Default::default() };
            let made = access.create_api_key(self.server.request(create)).await.expect("the API key is made");
            keys.push(made.into_inner().credential);
        }
        keys
    }
}

fn busy() -> Child {
    let mut busy = Command::new("taskset");
    busy.args(["-c", "0", "sh", "-c", "while :; do :; done"]).spawn().expect("a shell")
}

impl Drop for Shared {
    fn drop(&mut self) {
        for child in &mut self.others {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

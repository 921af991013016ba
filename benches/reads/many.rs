//! A server with many secrets.
//!
//! They are made in a server in memory, which is the fastest way, and get into the measured server by a backup: what is measured is the
//! state after a restore.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::contenders::{CONFIG, Contender, create, get, lists, start, start_in};
use crate::tools::{Server, Start, data_folder, disk, is_quick};

/// The contenders that need many secrets.
pub const MANY: [&str; 3] = ["get_1m", "list_page_1m", "list_filtered_1m"];
/// A folder that keeps the secrets for the next run: to make a million takes longer than all else.
const KEPT: &str = "STRONGROOM_BENCH_MANY";

/// The server, and what was measured of its start.
pub struct Many {
    _folder: Option<TempDir>,
    server: Server,
    pub secrets: usize,
    /// The time of its start.
    pub open_seconds: f64,
    /// The most memory that it had at that time, of a secret, in bytes.
    pub peak_each: f64,
    /// The memory of a secret after the start, in bytes.
    pub memory_each: f64,
    /// The room on the disk of a secret, in bytes.
    pub disk_each: f64,
}

impl Many {
    /// Makes the secrets, unless they are kept, and starts the server.
    pub async fn start() -> Self {
        let secrets = std::env::var("STRONGROOM_BENCH_SECRETS")
            .map_or(if is_quick() { 100_000 } else { 1_000_000 }, |secrets| {
                secrets.parse().expect("a number in STRONGROOM_BENCH_SECRETS")
            });
        let empty = {
            let folder = data_folder();
            start(folder.path(), None).process.settled().await
        };
        let (temporary, folder) = match std::env::var_os(KEPT) {
            Some(kept) => (None, PathBuf::from(kept)),
            None => {
                let folder = data_folder();
                let path = folder.path().to_owned();
                (Some(folder), path)
            }
        };
        let made = folder.join("secrets");
        if fs::read_to_string(&made).unwrap_or_default() != secrets.to_string() {
            make(&folder, secrets).await;
            fs::write(&made, secrets.to_string()).expect("a file");
        }
        let on_disk = disk(&folder.join("data"));
        let server = start(&folder, None);
        let peak = server.process.peak().saturating_sub(empty);
        let memory = server.process.settled().await.saturating_sub(empty);
        let each = |bytes: f64| bytes / secrets as f64;
        Self {
            _folder: temporary,
            open_seconds: server.started.as_secs_f64(),
            peak_each: each(peak as f64),
            memory_each: each(memory as f64),
            disk_each: each(on_disk as f64),
            server,
            secrets,
        }
    }

    pub async fn contenders(&self) -> Vec<Contender<'_>> {
        let mut all = vec![get(MANY[0], &self.server, None, self.secrets).await];
        all.extend(lists([MANY[1], MANY[2]], &self.server, self.secrets).await);
        all
    }
}

/// Makes a store of so many secrets in a folder.
async fn make(folder: &Path, secrets: usize) {
    let making = data_folder();
    let config = format!("{CONFIG}[audit]\nstderr = \"off\"\n");
    let memory = Server::start(&Start { store: "memory", config: &config, ..start_in(making.path()) });
    create(&memory, None, secrets).await;
    let backup = making.path().join("backup");
    run(&memory, &["backup"], &backup);
    drop(memory);

    // The backup opens with the master key of the server that made it, and has its root key.
    let (from, to) = (making.path().join("data"), folder.join("data"));
    fs::create_dir_all(&to).expect("a folder");
    fs::copy(from.join("master.key"), to.join("master.key")).expect("the master key");
    let server = Server::start(&Start { config: &config, ..start_in(folder) });
    run(&server, &["restore", "--yes"], &backup);
    server.process.stop();
    fs::copy(from.join("root.key"), to.join("root.key")).expect("the root key");
}

/// Runs a command of the service.
fn run(server: &Server, command: &[&str], file: &Path) {
    let program = std::env::var_os("STRONGROOM_BIN").unwrap_or(env!("CARGO_BIN_EXE_strongroom").into());
    let mut client = Command::new(program);
    client.args(command).arg(file);
    client.env("STRONGROOM_SERVER", format!("http://{}", server.process.address));
    let ran = client.env("STRONGROOM_API_KEY", &server.key).status().expect("the command line");
    assert!(ran.success(), "{command:?}");
}

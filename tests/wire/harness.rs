//! A server under test: the real binary, started on a free port of the loopback address and ended with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::capture::{Capture, OnPanic, Rationed};
use crate::etcd_server;

/// How long a test waits for the server to start, to end, or to write a line, before it fails and says so.
pub const PATIENCE: Duration = Duration::from_secs(60);

const READY: &str = "strongroom is ready on ";
/// The beginnings of the log's lines that name the addresses, each in its JSON form.
const LISTENING: &str = "listening: requests are served once the store is loaded";
const MEASURED: &str = "metrics, /livez and /readyz are served";

/// A running server. It is killed when dropped.
pub struct Server {
    child: Child,
    guard: Child,
    stdout: Capture,
    stderr: Capture,
    /// The URL at which it listens, for example `http://127.0.0.1:41234`.
    pub url: String,
    /// The root key in its data folder. Empty for a replica that joined a store, which has none.
    pub root_key: String,
    /// Its data folder.
    pub data_dir: PathBuf,
    /// Keeps the temporary folder until the server has ended.
    _folder: Option<TempDir>,
}

/// The output of a server that has ended.
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Everything that a person at the terminal would have seen.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// The settings of a server to start.
pub struct Launch {
    data_dir: PathBuf,
    listen: String,
    program: Vec<String>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    seen_at: Option<PathBuf>,
    log_bytes: Option<mpsc::Receiver<usize>>,
    folder: Option<TempDir>,
}

/// The server that the tests share. Each test uses a namespace of its own there.
pub fn shared() -> &'static Server {
    // A static is never dropped, so the guard process ends this server.
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Launch::in_memory().start())
}

impl Launch {
    /// A server that keeps its secrets in memory. Its temporary folder holds only the keys.
    ///
    /// `STRONGROOM_WIRE_STORE=sled` runs the whole suite over the durable store instead, and `etcd` over etcd, where each
    /// server has a prefix of its own.
    pub fn in_memory() -> Self {
        let store = std::env::var("STRONGROOM_WIRE_STORE").unwrap_or_else(|_| "memory".into());
        if store == "etcd" {
            let etcd = etcd_server::shared().expect("an etcd");
            return Self::in_etcd(&etcd.url(), &format!("{}/", Uuid::new_v4()));
        }
        Self::alone().argument("--store").argument(store)
    }

    /// A server over the store that etcd has under this prefix. Its temporary folder holds only the keys.
    pub fn in_etcd(endpoints: &str, prefix: &str) -> Self {
        let arguments = ["--store", "etcd", "--etcd-endpoints", endpoints, "--etcd-prefix", prefix];
        arguments.into_iter().fold(Self::alone(), Self::argument)
    }

    fn alone() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = folder.path().join("data");
        Self {
            data_dir,
            listen: "127.0.0.1:0".into(),
            program: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
            seen_at: None,
            log_bytes: None,
            folder: Some(folder),
        }
    }

    /// A server over the default, durable store in this folder.
    pub fn durable(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            listen: "127.0.0.1:0".into(),
            program: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
            seen_at: None,
            log_bytes: None,
            folder: None,
        }
    }

    pub fn listen(mut self, address: &str) -> Self {
        self.listen = address.into();
        self
    }

    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Starts it with these limits, each a line of the table `[limits]` of its configuration file.
    pub fn limits(self, lines: &str) -> Self {
        self.configured(&format!("[limits]\n{lines}\n"))
    }

    /// Starts it with this configuration file, which stands beside the data folder.
    pub fn configured(self, toml: &str) -> Self {
        let folder = self.data_dir.parent().expect("a folder around the data folder");
        let file = folder.join("strongroom.toml");
        std::fs::write(&file, toml).expect("the configuration is written");
        let file = file.to_str().expect("a path in UTF-8").to_owned();
        self.argument("--config").argument(file)
    }

    /// Sets an environment variable of the server.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Starts it through another program, which then becomes the server. The words are that program and its arguments.
    pub fn through(mut self, program: &[&str]) -> Self {
        self.program = program.iter().map(|&word| word.into()).collect();
        self
    }

    /// Starts another build of the server in the place of this one.
    #[cfg(feature = "etcd")]
    pub fn built_as(self, binary: &str) -> Self {
        self.through(&["sh", "-c", "shift; exec \"$0\" \"$@\"", binary])
    }

    /// Sets the path at which the tests see its data folder, if theirs differs.
    pub fn seen_at(mut self, data_dir: &Path) -> Self {
        self.seen_at = Some(data_dir.to_owned());
        self
    }

    /// Has its log read in portions of so many bytes, and through a small pipe. After the last portion it is read as usual.
    pub fn log_read_by(mut self, portions: mpsc::Receiver<usize>) -> Self {
        self.log_bytes = Some(portions);
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Server {
        // A replica that joins a store makes no root key.
        let replica = self.arguments.iter().any(|argument| argument == "etcd");
        let mut server = self.begin(OnPanic::EndTheTests);
        let Some(url) = server.stdout.wait_for(|line| Some(line.strip_prefix(READY)?.trim().to_owned()))
        else {
            let output = server.end();
            panic!(
                "the server did not become ready; it exited with {:?} and wrote:\n{}",
                output.code,
                output.all()
            );
        };
        server.url = url;
        let root_key = server.data_dir.join("root.key");
        if root_key.exists() || !replica {
            let read = std::fs::read_to_string(&root_key).expect("root.key is readable");
            server.root_key = read.trim().to_owned();
        }
        server
    }

    /// Starts it and waits until it listens: it may not be ready yet.
    pub fn start_loading(self) -> Server {
        let mut server = self.begin(OnPanic::EndTheTests);
        server.url = format!("http://{}", server.logged_address(LISTENING));
        server
    }

    /// Starts it, or returns its output if it refuses to serve.
    #[cfg(feature = "etcd")]
    pub fn start_or_refuse(self) -> Result<Server, Output> {
        let mut server = self.begin(OnPanic::EndTheTests);
        match server.stdout.wait_for(|line| Some(line.strip_prefix(READY)?.trim().to_owned())) {
            Some(url) => {
                server.url = url;
                Ok(server)
            }
            None => Err(server.end()),
        }
    }

    /// Starts it, asserts that it refuses to serve, and returns its output.
    pub fn refused(self) -> Output {
        let mut server = self.begin(OnPanic::Record);
        let ready = server.stdout.wait_for(|line| line.starts_with(READY).then_some(()));
        assert!(ready.is_none(), "the server started, but had to refuse");
        let output = server.end();
        assert!(
            output.code.is_some_and(|code| code != 0),
            "a refusal exits by itself with a code that is not 0"
        );
        assert!(!output.stderr.contains("panicked"), "the server panicked:\n{}", output.stderr);
        output
    }

    /// Starts it and kills it after a time, whether it is ready or not.
    pub fn cut_short(self, after: Duration) {
        let server = self.begin(OnPanic::EndTheTests);
        thread::sleep(after); // chooses the moment of the kill; it waits for nothing
        server.kill();
    }

    fn begin(mut self, on_panic: OnPanic) -> Server {
        let (child, stdout, stderr) = self.spawn(on_panic);
        Server {
            guard: guard_of(&child, self.folder.as_ref()),
            child,
            stdout,
            stderr,
            url: String::new(),
            root_key: String::new(),
            data_dir: self.seen_at.unwrap_or(self.data_dir),
            _folder: self.folder,
        }
    }

    fn spawn(&mut self, on_panic: OnPanic) -> (Child, Capture, Capture) {
        let mut words = self.program.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_strongroom")]);
        let mut command = Command::new(words.next().expect("the binary is one"));
        command.args(words);
        for (variable, _) in std::env::vars_os() {
            // The developer's own settings must not reach the server.
            let name = variable.to_string_lossy();
            if name.starts_with("STRONGROOM_") || name == "CREDENTIALS_DIRECTORY" {
                command.env_remove(variable);
            }
        }
        let mut child = command
            .arg("serve")
            .args(["--listen", &self.listen])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = Capture::of(child.stdout.take().expect("piped"), OnPanic::Record);
        let stderr = child.stderr.take().expect("piped");
        let stderr = match self.log_bytes.take() {
            Some(portions) => {
                rustix::pipe::fcntl_setpipe_size(&stderr, 4096).expect("a pipe of one page");
                Capture::of(Rationed::new(stderr, portions), on_panic)
            }
            None => Capture::of(stderr, on_panic),
        };
        (child, stdout, stderr)
    }
}

impl Server {
    /// A server in memory for one test alone.
    pub fn alone() -> Self {
        Launch::in_memory().start()
    }

    /// Waits until a server that was started loading is ready.
    pub fn wait_until_ready(&mut self) {
        let ready = self.stdout.wait_for(|line| line.starts_with(READY).then_some(()));
        assert!(ready.is_some(), "the server did not become ready; it wrote:\n{}", self.logged());
        let root_key = std::fs::read_to_string(self.data_dir.join("root.key")).unwrap_or_default();
        self.root_key = root_key.trim().to_owned();
    }

    /// The address for metrics of a server that was started with one.
    pub fn metrics_address(&self) -> String {
        self.logged_address(MEASURED)
    }

    /// The address in the first line of the log with this text.
    fn logged_address(&self, text: &str) -> String {
        let address = self.stderr.wait_for(|line| {
            let (_, address) = line.split_once("\"address\":\"").filter(|_| line.contains(text))?;
            Some(address.split('"').next()?.to_owned())
        });
        address.unwrap_or_else(|| panic!("the log names no address with {text:?}:\n{}", self.logged()))
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the url ends in a port")
    }

    /// Everything it has logged until now.
    pub fn logged(&self) -> String {
        self.stderr.text()
    }

    /// Waits until it has logged so many lines with this text.
    #[track_caller]
    pub fn wait_for_logged(&self, count: usize, text: &str) {
        assert!(self.stderr.wait_for_lines(count, text), "{text:?} is not in the log:\n{}", self.logged());
    }

    /// Has it read its files again, and waits until it has. Returns what it has logged since.
    #[track_caller]
    pub fn reload(&self) -> String {
        const RELOADED: &str = "keys were reloaded";
        let before = self.logged();
        let reloads = before.lines().filter(|line| line.contains(RELOADED)).count();
        self.signal("HUP");
        self.wait_for_logged(reloads + 1, RELOADED);
        self.logged().split_off(before.len())
    }

    /// Sends it a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &self.child.id().to_string()])
            .status()
            .expect("sh runs");
        assert!(sent.success(), "the server had ended before the signal {name}");
    }

    /// Asserts that its process still runs.
    pub fn assert_alive(&mut self) {
        let ended = self.child.try_wait().expect("the process can be asked");
        assert!(ended.is_none(), "the server ended with {ended:?}:\n{}", self.logged());
    }

    /// Ends it with SIGTERM, and asserts that it exits with code 0.
    pub async fn stop(self) -> Output {
        self.signal("TERM");
        self.ended_well().await
    }

    /// Waits for the end of a server that was told to end, and asserts that it exits with code 0.
    pub async fn ended_well(mut self) -> Output {
        // The wait is on another thread: the server drains its connections, and this thread runs their clients.
        let output = tokio::task::spawn_blocking(move || self.end()).await.expect("the server ends");
        assert_eq!(output.code, Some(0), "the server did not end well:\n{}", output.all());
        output
    }

    /// Ends it with SIGKILL, as a power cut would.
    pub fn kill(mut self) -> Output {
        self.child.kill().expect("the server runs");
        self.end()
    }

    /// Waits until it has ended. A process that has ended has closed its output.
    fn end(&mut self) -> Output {
        let ended = self.stdout.wait_for_end() && self.stderr.wait_for_end();
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!("the server did not end within {PATIENCE:?}; it wrote:\n{}", self.logged());
        }
        let code = self.child.wait().expect("the process ends").code();
        Output { code, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The guard goes first, while the process id still belongs to this child. Each call fails if its process has already
        // ended.
        for process in [&mut self.guard, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A process that kills the server once the tests have ended, in whatever way, and removes its temporary folder if it has
/// one. It reads from a pipe that only the tests hold open, and so sees their end.
fn guard_of(server: &Child, folder: Option<&TempDir>) -> Child {
    Command::new("sh")
        .args(["-c", "read -r line; kill -9 \"$1\"; shift; [ $# = 0 ] || rm -r \"$@\"", "sh"])
        .arg(server.id().to_string())
        .args(folder.map(TempDir::path))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts")
}

//! A process that serves: the server, or another program that says its address in the same words.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use strongroom::api::v1::secret_service_client::SecretServiceClient;
use strongroom::api::v1::secret_value::Kind;
use strongroom::api::v1::{CreateSecretRequest, SecretValue};
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::tls::Certificate;

/// The time of processors that a process has used, of this number or this one (`self`): in all of its threads, also in the kernel.
pub fn processor_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    // The name of the program, in brackets, can hold spaces.
    let fields = stat.rsplit(')').next().expect("a line").split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// A folder for the data of a run, on the disk that `STRONGROOM_BENCH_DIR` chooses: by default that of cargo's target folder.
pub fn data_folder() -> TempDir {
    let place = std::env::var_os("STRONGROOM_BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR").into());
    tempfile::tempdir_in(place).expect("a folder for the data")
}

/// A process that serves. It ends with this.
pub struct Process {
    child: Child,
    /// Its address and port.
    pub address: String,
}

impl Process {
    /// Starts a program and waits until it says where it is ready.
    pub fn start(command: Command) -> Self {
        Self::start_until(command, |line| {
            Some(line.split_once("is ready on ")?.1.split_once("://")?.1.trim().to_owned())
        })
    }

    /// The same for a program that says it in other words: `ready` makes the address of the line in which it does.
    pub fn start_until(mut command: Command, ready: impl FnMut(String) -> Option<String>) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program of the server");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut said = String::new();
        let mut heard = lines.by_ref().map_while(Result::ok).inspect(|line| said = format!("{said}\n{line}"));
        let address = heard.find_map(ready).unwrap_or_else(|| panic!("the server is not ready: {said}"));
        // It may write more.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address }
    }

    /// The time of processors that it has used, in all of its threads, also in the kernel.
    pub fn processor_time(&self) -> Duration {
        processor_time(&self.child.id().to_string())
    }

    /// The memory of the process, in bytes.
    pub fn resident(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// The most memory that it had, in bytes.
    pub fn peak(&self) -> usize {
        self.memory("VmHWM:")
    }

    /// Its memory, in bytes, once it changes by less than 64 KiB in a second.
    pub async fn settled(&self) -> usize {
        let mut before = 0;
        loop {
            let now = self.resident();
            if now.abs_diff(before) < 64 << 10 {
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

    /// Profiles it with perf into a file, until the result is dropped.
    pub fn profile(&self, file: &OsStr) -> Profile {
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "--freq", "997", "--pid", &self.child.id().to_string(), "--output"]);
        Profile(perf.arg(file).spawn().expect("perf"))
    }

    /// Lets it stop by itself.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a process");
        self.child.wait().expect("the end of the server");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// perf at work.
pub struct Profile(Child);

impl Drop for Profile {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.0.wait();
    }
}

/// How a server is started.
pub struct Start<'a> {
    /// Its data, its configuration and its log.
    pub folder: &'a Path,
    /// `sled` or `memory`.
    pub store: &'a str,
    /// The configuration file.
    pub config: &'a str,
    pub tls: Option<&'a Certificate>,
    /// The processor that it has, where it has one alone.
    pub processor: Option<&'a str>,
}

/// A server with its root key.
pub struct Server {
    pub process: Process,
    /// The credential of its root key.
    pub key: String,
    /// The time until it was ready.
    pub started: Duration,
}

impl Server {
    /// Starts the server, of the binary that `STRONGROOM_BIN` names or else of this build. Its log goes to a file, with all audit records unless the configuration says otherwise.
    pub fn start(start: &Start<'_>) -> Self {
        let program = std::env::var_os("STRONGROOM_BIN").unwrap_or(env!("CARGO_BIN_EXE_strongroom").into());
        Self::start_program(&program, start)
    }

    /// The same with another build of the server.
    pub fn start_program(program: &OsStr, start: &Start<'_>) -> Self {
        let (data_dir, config) = (start.folder.join("data"), start.folder.join("strongroom.toml"));
        std::fs::write(&config, start.config).expect("the configuration");
        let log = std::fs::File::create(start.folder.join("log")).expect("the log");
        let mut command = match start.processor {
            None => Command::new(program),
            // Of the package util-linux.
            Some(processor) => {
                let mut command = Command::new("taskset");
                command.args(["-c", processor]).arg(program);
                command
            }
        };
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--store", start.store, "--data-dir"])
            .arg(&data_dir);
        command.arg("--config").arg(&config).stderr(log);
        if let Some(tls) = start.tls {
            command.arg("--tls-cert").arg(&tls.certificate).arg("--tls-key").arg(&tls.key);
        }
        // The settings are those of the file alone.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("STRONGROOM_")) {
                command.env_remove(name);
            }
        }
        let began = Instant::now();
        let process = Process::start(command);
        let started = began.elapsed();
        let key = std::fs::read_to_string(data_dir.join("root.key")).expect("root.key").trim().to_owned();
        Self { process, key, started }
    }

    /// A connection of tonic's client, without TLS.
    pub async fn channel(&self) -> Channel {
        let address = Endpoint::from_shared(format!("http://{}", self.process.address)).expect("an address");
        address.connect().await.expect("a connection")
    }

    /// A request with the root key.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let credential = format!("Bearer {}", self.key).parse().expect("a header");
        request.metadata_mut().insert("authorization", credential);
        request
    }

    /// Creates a secret of 256 bytes.
    pub async fn create(&self, channel: &Channel, name: &str) {
        let value = Some(SecretValue { kind: Some(Kind::Text("v".repeat(256))) });
        let create = CreateSecretRequest { name: name.into(), value, ..Default::default() };
        let created = SecretServiceClient::new(channel.clone()).create_secret(self.request(create)).await;
        created.expect("the secret is created");
    }
}

/// The bytes that the files of a folder take on the disk, without the audit log.
pub fn disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let metadata = entry.metadata().expect("a file");
            match metadata.is_dir() {
                true if entry.file_name() == "audit" => {}
                true => folders.push(entry.path()),
                false => bytes += metadata.blocks() * 512,
            }
        }
    }
    bytes
}

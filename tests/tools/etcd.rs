//! A real etcd for tests, on free loopback ports and over a folder of its own. It ends with the tests, in whatever way they
//! end.
//!
//! The tests of the store and those of the wire share this file. They include it by its path.

// Each test binary compiles its own copy and uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// How long a test waits for etcd to serve before it fails and says so.
const PATIENCE: Duration = Duration::from_secs(60);
/// The text that etcd logs once it serves.
const READY: &str = "ready to serve client requests";

/// An etcd of one member, or a member of an etcd of several. It is killed when dropped.
pub struct Etcd {
    name: String,
    /// All members of its cluster, as etcd takes them. `None`: it is alone.
    cluster: Mutex<Option<String>>,
    running: Mutex<Option<Running>>,
    binary: String,
    arguments: Vec<String>,
    scheme: &'static str,
    folder: TempDir,
    ports: Mutex<(u16, u16)>,
}

struct Running {
    child: Child,
    guard: Child,
}

/// The etcd that the tests of this process share, each under a prefix of its own. `None` where etcd is not available: then
/// continuous integration fails, and elsewhere a note says that the tests are skipped.
pub fn shared() -> Option<&'static Etcd> {
    // A static is never dropped, so the guard process ends this etcd.
    static SHARED: OnceLock<Option<Etcd>> = OnceLock::new();
    SHARED.get_or_init(Etcd::start).as_ref()
}

impl Etcd {
    /// An etcd for one test alone.
    pub fn start() -> Option<Self> {
        Self::start_with("http", &[])
    }

    /// An etcd with more arguments, whose clients use this URL scheme.
    pub fn start_with(scheme: &'static str, arguments: &[String]) -> Option<Self> {
        Self::start_over(in_memory(), scheme, arguments)
    }

    /// An etcd whose data is in this folder, so on its disk.
    pub fn start_in(folder: &Path) -> Option<Self> {
        Self::start_over(tempfile::tempdir_in(folder), "http", &[])
    }

    /// The members of one etcd.
    pub fn start_members(count: usize) -> Option<Vec<Self>> {
        for _ in 0..20 {
            let mut members = Vec::new();
            for number in 1..=count {
                members.push(Self::new(in_memory(), "http", &[], &format!("member-{number}"))?);
            }
            members.iter().for_each(Self::take_ports);
            let cluster: Vec<_> =
                members.iter().map(|member| format!("{}={}", member.name, member.peer_url())).collect();
            members.iter().for_each(|member| *lock(&member.cluster) = Some(cluster.join(",")));
            // None serves before most of them are there.
            let all_run = thread::scope(|scope| {
                let starting: Vec<_> = members.iter().map(|member| scope.spawn(|| member.run())).collect();
                let run: Vec<_> =
                    starting.into_iter().map(|member| member.join().expect("etcd starts")).collect();
                run.iter().all(Result::is_ok)
            });
            if all_run {
                return Some(members);
            }
        }
        panic!("etcd found no free ports in many attempts");
    }

    fn start_over(folder: io::Result<TempDir>, scheme: &'static str, arguments: &[String]) -> Option<Self> {
        let etcd = Self::new(folder, scheme, arguments, "one")?;
        // Another process can take a free port before etcd does.
        for _ in 0..20 {
            etcd.take_ports();
            if etcd.run().is_ok() {
                return Some(etcd);
            }
        }
        panic!("etcd found no free port in many attempts");
    }

    fn new(
        folder: io::Result<TempDir>,
        scheme: &'static str,
        arguments: &[String],
        name: &str,
    ) -> Option<Self> {
        Some(Self {
            name: name.into(),
            cluster: Mutex::default(),
            running: Mutex::default(),
            binary: binary()?.to_owned(),
            arguments: arguments.to_vec(),
            scheme,
            folder: folder.expect("a temporary folder"),
            ports: Mutex::default(),
        })
    }

    fn take_ports(&self) {
        *lock(&self.ports) = (free_port(), free_port());
    }

    /// The port at which it answers.
    pub fn port(&self) -> u16 {
        lock(&self.ports).0
    }

    /// The port at which other members reach it.
    pub fn peer_port(&self) -> u16 {
        lock(&self.ports).1
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port())
    }

    /// The URL at which it answers.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port())
    }

    /// Sends it a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let running = lock(&self.running);
        let id = running.as_ref().expect("etcd runs").child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &id]).status();
        assert!(sent.expect("sh runs").success(), "etcd had ended before the signal {name}");
        // The signal returns before all threads have stopped.
        while name == "STOP" && !has_stopped(&id) {
            thread::yield_now();
        }
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) {
        drop(lock(&self.running).take().expect("etcd runs"));
    }

    /// Starts it again, over the same data and on the same ports.
    pub fn start_again(&self) {
        if let Err(said) = self.run() {
            panic!("etcd did not start again:\n{said}");
        }
    }

    /// Ends it, copies its data, and starts it again.
    pub fn save(&self) -> TempDir {
        let saved = tempfile::tempdir_in(self.folder.path()).expect("a temporary folder");
        self.kill();
        copy(&self.folder.path().join("data"), &saved.path().join("data"));
        self.start_again();
        saved
    }

    /// Ends it, puts saved data back, and starts it again.
    pub fn put_back(&self, saved: &TempDir) {
        self.kill();
        let data = self.folder.path().join("data");
        std::fs::remove_dir_all(&data).expect("etcd's data is removed");
        copy(&saved.path().join("data"), &data);
        self.start_again();
    }

    /// Starts it and waits until it serves. The error is its output in the case that its port is taken.
    fn run(&self) -> Result<(), String> {
        let (client, peer) = (self.url(), self.peer_url());
        let cluster = lock(&self.cluster).clone().unwrap_or_else(|| format!("{}={peer}", self.name));
        let mut child = Command::new(&self.binary)
            .args(["--name", &self.name, "--data-dir"])
            .arg(self.folder.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &cluster])
            .args(&self.arguments)
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("etcd starts");
        let stderr = child.stderr.take().expect("piped");
        let running = Running { guard: guard_of(&child, self.folder.path()), child };

        let (sender, said) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(stderr);
            let (mut line, mut all) = (String::new(), String::new());
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                all.push_str(&line);
                if line.contains(READY) {
                    let _ = sender.send(Ok(()));
                    break;
                }
                line.clear();
            }
            let _ = sender.send(Err(all));
            // The rest of its output is read too, so that etcd never blocks on a full pipe.
            let _ = lines.read_to_end(&mut Vec::new());
        });
        match said.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {
                *lock(&self.running) = Some(running);
                Ok(())
            }
            Ok(Err(said)) if said.contains("address already in use") => Err(said),
            Ok(Err(said)) => panic!("etcd ended:\n{said}"),
            // Where another member did not get its ports, none of them serves.
            Err(_) if lock(&self.cluster).is_some() => Err(format!("no answer in {PATIENCE:?}")),
            Err(_) => panic!("etcd does not serve after {PATIENCE:?}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The guard goes first, while the process id still belongs to this child.
        for process in [&mut self.guard, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A folder in memory where possible: none of this has to survive the machine.
fn in_memory() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.expect("cp runs").success());
}

/// The path of etcd. A script finds it, and fetches it where it is missing. `None` where the build has no store over etcd.
fn binary() -> Option<&'static str> {
    static BINARY: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        if !cfg!(feature = "etcd") {
            skip("this build is without the feature `etcd`");
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/etcd.sh");
        let found = Command::new("bash").arg(script).output().expect("bash runs");
        if found.status.success() {
            return Some(String::from_utf8(found.stdout).expect("a path").trim().to_owned());
        }
        let why = String::from_utf8_lossy(&found.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "etcd is not available:\n{why}");
        skip(&why);
        None
    };
    BINARY.get_or_init(find).as_deref()
}

/// Says why the tests over etcd do not run, past the test harness, which would capture it.
fn skip(why: &str) {
    let said = format!("\nSKIPPED: the tests over etcd, since there is none: {why}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
}

/// Whether every thread of a process has stopped. proc(5) shows the state after the name in brackets.
pub fn has_stopped(process: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process is there");
    threads.flatten().all(|thread| {
        let shown = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        shown.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
    })
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A process that kills etcd and removes its folder once the tests have ended, in whatever way. It reads from a pipe that
/// only the tests hold open, and so sees their end.
fn guard_of(etcd: &Child, folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", "read -r line; kill -9 \"$1\"; rm -r \"$2\"", "sh"])
        .arg(etcd.id().to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

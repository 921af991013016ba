//! A real etcd for tests: on free loopback ports, over a folder of its own, and gone with the tests however they end.
//!
//! Shared by the tests of the store and those of the wire, which include it by its path.

// Each includes it for itself, and not for all that it can do.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// How long a test waits for etcd to serve before it fails and says so.
const PATIENCE: Duration = Duration::from_secs(60);
/// What etcd writes once it serves.
const READY: &str = "ready to serve client requests";

/// An etcd of one member. It is killed when dropped.
pub struct Etcd {
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

/// The etcd that the tests of this process share, each under a prefix of its own; `None` where there is none to be had,
/// which fails the tests of continuous integration and is said to everybody else.
pub fn shared() -> Option<&'static Etcd> {
    // A static is never dropped: the guard ends this one.
    static SHARED: OnceLock<Option<Etcd>> = OnceLock::new();
    SHARED.get_or_init(Etcd::start).as_ref()
}

impl Etcd {
    /// One that a test has for itself.
    pub fn start() -> Option<Self> {
        Self::start_with("http", &[])
    }

    /// One with more arguments, whose clients come by this scheme.
    pub fn start_with(scheme: &'static str, arguments: &[String]) -> Option<Self> {
        let binary = binary()?.to_owned();
        // In memory where that can be had: nothing here is to survive the machine.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let etcd = Self {
            running: Mutex::default(),
            binary,
            arguments: arguments.to_vec(),
            scheme,
            folder: folder.expect("a temporary folder"),
            ports: Mutex::default(),
        };
        // Between the moment that a port is free and the moment that etcd takes it, another process can.
        for _ in 0..20 {
            *lock(&etcd.ports) = (free_port(), free_port());
            if etcd.run().is_ok() {
                return Some(etcd);
            }
        }
        panic!("etcd found no free port in many attempts");
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, lock(&self.ports).0)
    }

    /// Sends it a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let running = lock(&self.running);
        let id = running.as_ref().expect("etcd runs").child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &id]).status();
        assert!(sent.expect("sh runs").success(), "etcd had ended before the signal {name}");
        // The signal is sent before each thread has stopped.
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

    /// Starts it and waits until it serves. The error is what it wrote where its port is taken.
    fn run(&self) -> Result<(), String> {
        let (client, peer) = *lock(&self.ports);
        let client = format!("{}://127.0.0.1:{client}", self.scheme);
        let peer = format!("http://127.0.0.1:{peer}");
        let mut child = Command::new(&self.binary)
            .args(["--name", "one", "--data-dir"])
            .arg(self.folder.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("one={peer}")])
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
            // What else it writes is read, so that it never blocks.
            let _ = lines.read_to_end(&mut Vec::new());
        });
        match said.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {
                *lock(&self.running) = Some(running);
                Ok(())
            }
            Ok(Err(said)) if said.contains("address already in use") => Err(said),
            Ok(Err(said)) => panic!("etcd ended:\n{said}"),
            Err(_) => panic!("etcd does not serve after {PATIENCE:?}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The guard first, while the process id is still this child's.
        for process in [&mut self.guard, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The path of etcd, from the script that fetches it where it is missing. `None` where the build has no store over etcd.
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
        assert!(std::env::var_os("CI").is_none(), "etcd can not be had:\n{why}");
        skip(&why);
        None
    };
    BINARY.get_or_init(find).as_deref()
}

/// Says why the tests over etcd do not run. It writes past the capture of the tests' output, which would swallow it.
fn skip(why: &str) {
    let said = format!("\nSKIPPED: the tests over etcd, since there is none: {why}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
}

/// Whether every thread of a process has stopped, as proc(5) shows it behind the name in brackets.
fn has_stopped(process: &str) -> bool {
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

/// A process that ends etcd when the tests are gone, however they went, and removes its folder: it reads from a pipe that
/// only the tests hold open, and finds its end.
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

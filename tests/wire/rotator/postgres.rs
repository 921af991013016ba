//! A real PostgreSQL for tests, on a free loopback port and over a folder of its own. It ends with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

/// The password of the administrator, which the tests of one machine may know.
const PASSWORD: &str = "administrator";

/// A PostgreSQL. It is killed when dropped.
pub struct Postgres {
    child: Child,
    guard: Child,
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts one. `None` where it is not available: then continuous integration fails, and elsewhere a note says that the test is
    /// skipped.
    pub fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).expect("the password is written");
        let data = folder.path().join("data");
        let made = unprivileged(&programs.join("initdb"))
            .args(["--username=admin", "--auth=scram-sha-256", "--no-sync", "--no-locale", "--encoding=UTF8"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", data.display()))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // Another process can take a free port before PostgreSQL does.
        for _ in 0..20 {
            let port = free_port();
            if let Some((child, guard)) = run(&programs, folder.path(), port) {
                return Some(Self { child, guard, programs, folder, port });
            }
        }
        panic!("PostgreSQL found no free port in many attempts");
    }

    /// The environment in which psql is the administrator, and finds its programs first.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        vec![
            ("PATH", format!("{}:{path}", self.programs.display())),
            ("PGHOST", "127.0.0.1".into()),
            ("PGPORT", self.port.to_string()),
            ("PGDATABASE", "postgres".into()),
            ("PGUSER", "admin".into()),
            ("PGPASSWORD", PASSWORD.into()),
        ]
    }

    /// Runs SQL as the administrator.
    pub fn sql(&self, sql: &str) {
        let mut psql = self.psql().stdin(Stdio::piped()).spawn().expect("psql starts");
        psql.stdin.take().expect("its input").write_all(sql.as_bytes()).expect("psql reads");
        assert!(psql.wait().expect("psql ends").success(), "{sql}");
    }

    /// Whether a role can log in with a password; what psql says if not.
    pub fn logs_in(&self, role: &str, password: &str) -> Result<(), String> {
        let mut psql = self.psql();
        psql.env("PGUSER", role).env("PGPASSWORD", password).args(["--no-password", "--command", "SELECT 1"]);
        let output = psql.stdin(Stdio::null()).output().expect("psql runs");
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]).envs(self.environment());
        psql.stdout(Stdio::null());
        psql
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        // SIGINT is the fast shutdown: it ends every process of PostgreSQL.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
        let _ = self.folder.path();
    }
}

/// Starts PostgreSQL and waits until it serves; `None` if it ends before.
fn run(programs: &Path, folder: &Path, port: u16) -> Option<(Child, Child)> {
    let mut child = unprivileged(&programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-p", &port.to_string(), "-k", ""])
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "log_min_messages=info"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postgres starts");
    let mut log = BufReader::new(child.stderr.take().expect("its log"));
    let mut line = String::new();
    while log.read_line(&mut line).is_ok_and(|read| read > 0) {
        if line.contains("database system is ready to accept connections") {
            // The rest of the log is read, so that PostgreSQL never blocks.
            thread::spawn(move || log.read_to_end(&mut Vec::new()));
            let guard = guard(child.id());
            return Some((child, guard));
        }
        line.clear();
    }
    let _ = child.wait();
    None
}

/// A process that ends PostgreSQL when this one has ended, in whatever way.
fn guard(pid: u32) -> Child {
    let script = format!("cat >/dev/null; kill -INT {pid}");
    let mut guard = Command::new("sh");
    guard.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    guard.spawn().expect("sh starts")
}

/// PostgreSQL refuses to run as root. Root runs it in a user namespace, where it is an ordinary user and its files are its own.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=1000", "--map-group=1000"]).arg(program);
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The folder of PostgreSQL's programs.
fn programs() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/postgres.sh");
    let output = Command::new(script).output().expect("the script runs");
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let why = why.lines().last().unwrap_or("for an unknown reason").to_owned();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "PostgreSQL cannot be fetched: {why}");
    // Not `eprintln`, which the test runner would hide.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: the rotation of a real PostgreSQL, because it cannot be fetched: {why}"
    );
    None
}

//! The commands that follow changes: `strongroom watch`, and `strongroom run --watch`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde_json::Value as Json;

use crate::harness::{Server, shared};
use crate::proxy::{Link, Proxy};

fn strongroom(server: &Server, namespace: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(["-n", namespace]).args(arguments);
    command.env("STRONGROOM_SERVER", &server.url).env("STRONGROOM_API_KEY", &server.root_key);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Runs a command that takes its value from its input; returns what it prints.
fn done(server: &Server, namespace: &str, arguments: &[&str], value: &str) -> Json {
    let mut child = strongroom(server, namespace, arguments).spawn().unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A command that prints line by line.
struct Running {
    child: Child,
    /// `None`: nobody reads any more.
    lines: Option<BufReader<ChildStdout>>,
    /// What it writes to standard error, where that is read.
    notes: Option<BufReader<ChildStderr>>,
}

impl Running {
    fn start(server: &Server, namespace: &str, arguments: &[&str]) -> Self {
        Self::of(&mut strongroom(server, namespace, arguments))
    }

    /// Reaches the server through the proxy, and its notes are read.
    fn through(proxy: &Proxy, server: &Server, namespace: &str, arguments: &[&str]) -> Self {
        let mut command = strongroom(server, namespace, arguments);
        Self::of(command.env("STRONGROOM_SERVER", proxy.url()).stderr(Stdio::piped()))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = child.stdout.take().map(BufReader::new);
        let notes = child.stderr.take().map(BufReader::new);
        Self { child, lines, notes }
    }

    fn note(&mut self) -> String {
        let mut line = String::new();
        assert!(self.notes.as_mut().unwrap().read_line(&mut line).unwrap() > 0, "the command ended");
        line.trim_end().to_owned()
    }

    /// Breaks the connection, and asserts that this is told once, and its end once.
    fn tells_an_outage(&mut self, proxy: &Proxy, meanwhile: impl FnOnce()) {
        proxy.set(Link::Broken);
        let note = self.note();
        assert!(note.starts_with("note: the service cannot be asked, and this is tried again: "), "{note}");
        meanwhile();
        proxy.set(Link::Open);
        assert_eq!(self.note(), "note: the service answers again");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.as_mut().unwrap().read_line(&mut line).unwrap() > 0, "the command ended");
        line.trim_end().to_owned()
    }

    fn event(&mut self) -> (String, String, u64) {
        let event: Json = serde_json::from_str(&self.line()).unwrap();
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        assert_eq!(event["secret"]["value"], "ENCRYPTED");
        (text(&event["type"]), text(&event["secret"]["name"]), event["resume_revision"].as_u64().unwrap())
    }

    fn terminate(&mut self) -> std::process::ExitStatus {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

/// A command that `run` has started outlives this: a test terminates `run` before.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_prints_each_change_as_a_line_and_continues_where_it_is_told() {
    let (server, namespace) = (shared(), "watch-command");
    let first = done(server, namespace, &["create", "db_first", "--value-file", "-"], "one");
    let first = first["revision"].as_u64().unwrap().to_string();
    done(server, namespace, &["create", "db_second", "--value-file", "-", "--metadata", "team=ops"], "one");
    done(server, namespace, &["create", "other", "--value-file", "-"], "one");
    let mut watch = Running::start(server, namespace, &["watch", "--after", &first, "--prefix", "db_"]);
    let (kind, name, resume) = watch.event();
    assert_eq!((kind.as_str(), name.as_str()), ("created", "db_second"));
    done(server, namespace, &["rotate", "db_first", "--value-file", "-"], "two");
    let (kind, name, _) = watch.event();
    assert_eq!((kind.as_str(), name.as_str()), ("rotated", "db_first"));
    done(server, namespace, &["delete", "db_second", "--yes"], "");
    assert_eq!(watch.event().0, "deleted");

    let resume = resume.to_string();
    let mut again = Running::start(server, namespace, &["watch", "--after", &resume, "-o", "table"]);
    assert!(again.line().contains("created          watch-command/other"));
    assert!(again.line().ends_with("rotated          watch-command/db_first  version 2"));
    done(server, namespace, &["disable", "db_first", "1"], "");
    assert!(again.line().contains("deleted          watch-command/db_second"));
    assert!(again.line().ends_with("version_changed  watch-command/db_first  version 1 is disabled"));
    // Without a reader, the command ends at a line that it cannot write.
    again.lines = None;
    while again.child.try_wait().unwrap().is_none() {
        done(server, namespace, &["update", "other", "--description", "changed"], "");
    }

    let mut snapshot = Running::start(server, namespace, &["watch", "--snapshot", "--bookmarks"]);
    let mut names = [snapshot.event().1, snapshot.event().1];
    names.sort();
    assert_eq!(names, ["db_first", "other"]);
    let bookmark: Json = serde_json::from_str(&snapshot.line()).unwrap();
    assert_eq!((&bookmark["type"], &bookmark["synced"]), (&"bookmark".into(), &true.into()));
}

#[test]
fn a_value_that_changes_restarts_the_command() {
    let (server, namespace) = (shared(), "run-watch-restart");
    done(server, namespace, &["create", "secret", "--value-file", "-"], "one");
    done(server, namespace, &["create", "other", "--value-file", "-"], "one");
    let script = "echo \"$SECRET\"; exec sleep 600";
    let arguments = ["run", "--env", "SECRET=secret", "--watch", "restart", "--", "sh", "-c", script];
    let mut run = Running::start(server, namespace, &arguments);
    assert_eq!(run.line(), "one");
    // Neither another secret nor a description restarts it.
    done(server, namespace, &["rotate", "other", "--value-file", "-"], "two");
    done(server, namespace, &["update", "secret", "--description", "changed"], "");
    done(server, namespace, &["rotate", "secret", "--value-file", "-"], "two");
    assert_eq!(run.line(), "two");
    done(server, namespace, &["rotate", "secret", "--value-file", "-"], "three");
    assert_eq!(run.line(), "three");
    // SIGTERM goes on to the command, whose end is the end of `run`.
    assert_eq!(run.terminate().code(), Some(128 + 15));
}

#[test]
fn a_value_that_changes_sends_the_command_a_signal() {
    let (server, namespace) = (shared(), "run-watch-signal");
    done(server, namespace, &["create", "secret", "--value-file", "-"], "one");
    let script = "trap 'kill $!; echo reload' USR1; trap 'kill $!; exit 7' TERM; echo \"$SECRET\"; while :; do sleep 600 & wait $!; done";
    let arguments = ["run", "--env", "SECRET=secret", "--watch", "USR1", "--", "sh", "-c", script];
    let mut run = Running::start(server, namespace, &arguments);
    assert_eq!(run.line(), "one");
    done(server, namespace, &["rotate", "secret", "--value-file", "-"], "two");
    assert_eq!(run.line(), "reload");
    let status = run.terminate();
    assert_eq!((status.code(), status.signal()), (Some(7), None));
}

#[test]
fn a_command_that_ends_ends_run_with_its_code() {
    let (server, namespace) = (shared(), "run-watch-ends");
    done(server, namespace, &["create", "secret", "--value-file", "-"], "one");
    let arguments = ["run", "--env", "SECRET=secret", "--watch", "restart", "--", "sh", "-c", "exit 42"];
    let output = strongroom(server, namespace, &arguments).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(42), b"".as_slice()));
    let arguments = ["run", "--env", "SECRET=secret", "--watch", "restart", "--", "/no/such/program"];
    assert_eq!(strongroom(server, namespace, &arguments).output().unwrap().status.code(), Some(127));
}

#[test]
fn a_command_that_ignores_sigterm_is_killed_before_the_next_one_starts() {
    let (server, namespace) = (shared(), "run-watch-kill");
    done(server, namespace, &["create", "secret", "--value-file", "-"], "one");
    let script = "trap '' TERM; echo \"$SECRET $$\"; while :; do sleep 0.1; done";
    let options = ["run", "--env", "SECRET=secret", "--watch", "restart", "--stop-timeout", "1s"];
    let mut run = Running::start(server, namespace, &[&options[..], &["--", "sh", "-c", script]].concat());
    let first = run.line().strip_prefix("one ").unwrap().to_owned();
    done(server, namespace, &["rotate", "secret", "--value-file", "-"], "two");
    let second = run.line().strip_prefix("two ").unwrap().to_owned();
    let lives = |pid: &str| Command::new("kill").args(["-0", pid]).status().unwrap().success();
    assert!(!lives(&first) && lives(&second));
    assert!(Command::new("kill").args(["-KILL", &second]).status().unwrap().success());
    assert_eq!(run.child.wait().unwrap().code(), Some(128 + 9));
}

#[test]
fn commands_that_run_for_long_tell_an_outage_once_and_its_end_once() {
    let (server, namespace) = (shared(), "outage");
    let made = done(server, namespace, &["create", "secret", "--value-file", "-"], "one");
    let made = made["revision"].as_u64().unwrap().to_string();
    done(server, namespace, &["update", "secret", "--description", "of a watch"], "");
    let proxy = Proxy::to(server.port());
    // From a revision on: a snapshot that breaks off before its end would begin again.
    let mut watch = Running::through(&proxy, server, namespace, &["watch", "--after", &made]);
    assert_eq!(watch.event().0, "updated");
    // There are several attempts meanwhile.
    let change = || drop(done(server, namespace, &["rotate", "secret", "--value-file", "-"], "two"));
    watch.tells_an_outage(&proxy, change);
    assert_eq!(watch.event().0, "rotated");
    watch.tells_an_outage(&proxy, || {});

    let arguments = [
        "run",
        "--env",
        "SECRET=secret",
        "--watch",
        "restart",
        "--",
        "sh",
        "-c",
        "echo $SECRET; exec sleep 600",
    ];
    let mut run = Running::through(&proxy, server, namespace, &arguments);
    assert_eq!(run.line(), "two");
    done(server, namespace, &["rotate", "secret", "--value-file", "-"], "three");
    assert_eq!(run.line(), "three");
    assert_eq!(run.note(), "note: a value has changed: the command is restarted");
    run.tells_an_outage(&proxy, || {
        done(server, namespace, &["rotate", "secret", "--value-file", "-"], "four");
    });
    assert_eq!(run.line(), "four");
    assert_eq!(run.terminate().code(), Some(128 + 15));

    // The worker has one rotation to make, since its last step ends the policy. Then it listens.
    let clear = format!(
        "test $STRONGROOM_STEP != finish || {} -n {namespace} policy clear secret >/dev/null",
        env!("CARGO_BIN_EXE_strongroom")
    );
    let arguments = ["rotator", "--keep-credentials", "-o", "table", "--exec", &clear];
    let mut rotator = Running::through(&proxy, server, namespace, &arguments);
    done(server, namespace, &["policy", "set", "secret", "--every", "1s"], "");
    assert!(rotator.line().contains("rotated"));
    rotator.tells_an_outage(&proxy, || {});
    done(server, namespace, &["policy", "set", "secret", "--every", "1s"], "");
    assert!(rotator.line().contains("rotated"));
}

#[test]
fn run_goes_on_with_the_key_that_its_file_gets_after_a_refusal() {
    let (server, namespace) = (shared(), "run-watch-key");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let new_key = |file: &str| {
        let key = ["key", "create", "run watch", "--home", namespace, "--role", "reader", "--out", file];
        done(server, namespace, &key, "")["id"].as_str().unwrap().to_owned()
    };
    done(server, namespace, &["create", "secret", "--value-file", "-"], "one");
    let id = new_key(&path("run.key"));
    let script = "echo \"$SECRET\"; exec sleep 600";
    let arguments = ["run", "--env", "SECRET=secret", "--watch", "restart", "--", "sh", "-c", script];
    let mut command = strongroom(server, namespace, &arguments);
    command.env_remove("STRONGROOM_API_KEY").env("STRONGROOM_API_KEY_FILE", path("run.key"));
    let mut run = Running::of(command.stderr(Stdio::piped()));
    assert_eq!(run.line(), "one");
    done(server, namespace, &["rotate", "secret", "--value-file", "-"], "two");
    assert_eq!(run.line(), "two");
    assert_eq!(run.note(), "note: a value has changed: the command is restarted");

    done(server, namespace, &["key", "revoke", &id, "--yes"], "");
    let note = run.note();
    assert!(note.starts_with("note: the API key is refused, and this is tried again"), "{note}");
    done(server, namespace, &["rotate", "secret", "--value-file", "-"], "three");
    new_key(&path("next.key"));
    std::fs::rename(path("next.key"), path("run.key")).unwrap();
    assert_eq!(run.note(), "note: the service answers again");
    assert_eq!(run.line(), "three");
    assert_eq!(run.terminate().code(), Some(128 + 15));
}

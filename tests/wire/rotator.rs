//! `strongroom rotator`: a worker that makes the rotations that are due, with a command.

#[path = "rotator/postgres.rs"]
mod postgres;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value as Json;

use self::postgres::Postgres;
use crate::harness::{PATIENCE, Server, shared};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/rotate-postgres.sh");

fn strongroom(server: &Server, namespace: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(["-n", namespace]).args(arguments);
    command.env("STRONGROOM_SERVER", &server.url).env("STRONGROOM_API_KEY", &server.root_key);
    command.stdin(Stdio::null());
    command
}

fn run(server: &Server, namespace: &str, arguments: &[&str]) -> Output {
    strongroom(server, namespace, arguments).output().unwrap()
}

fn done(server: &Server, namespace: &str, arguments: &[&str]) -> String {
    let output = run(server, namespace, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Creates a secret that a worker is to rotate, every second.
fn create(server: &Server, namespace: &str, name: &str, value: &str) {
    let mut child = strongroom(server, namespace, &["create", name, "--value-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    done(server, namespace, &["policy", "set", name, "--every", "1s"]);
}

/// Lets a worker look for due rotations until it has made or tried one; returns what it said of it, and its exit code.
fn rotated_once(
    server: &Server,
    namespace: &str,
    arguments: &[&str],
    variables: &[(&str, String)],
) -> (Json, Output) {
    let started = Instant::now();
    loop {
        let arguments: Vec<_> =
            ["rotator", "--once", "-o", "json"].iter().chain(arguments).copied().collect();
        let mut worker = strongroom(server, namespace, &arguments);
        let output = worker.envs(variables.iter().map(|(name, value)| (name, value))).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(line) = stdout.lines().next() {
            return (serde_json::from_str(line).unwrap(), output);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(started.elapsed() < PATIENCE, "no rotation became due: {stderr}");
    }
}

fn versions(server: &Server, namespace: &str, name: &str) -> Vec<(u64, String, bool)> {
    let listed: Json = serde_json::from_str(&done(server, namespace, &["versions", name])).unwrap();
    let version = |version: &Json| {
        let state = version["state"].as_str().unwrap().to_owned();
        (version["number"].as_u64().unwrap(), state, version["current"].as_bool().unwrap())
    };
    listed["versions"].as_array().unwrap().iter().map(version).collect()
}

/// A script that notes each step, with the values that it was given, and fails in one of them.
fn noting(folder: &std::path::Path, fails_in: &str) -> String {
    let script = format!(
        r#"printf '%s %s new=%s old=%s\n' "$STRONGROOM_STEP" "${{STRONGROOM_VERSION-none}}" \
  "$(test -z "${{STRONGROOM_NEW_VALUE_FILE-}}" || wc -c <"$STRONGROOM_NEW_VALUE_FILE")" \
  "$(test -z "${{STRONGROOM_OLD_VALUE_FILE-}}" || cat "$STRONGROOM_OLD_VALUE_FILE")" >>{notes}
test "$STRONGROOM_STEP" != "{fails_in}" || exit 3
test -z "${{STRONGROOM_API_KEY-}}${{STRONGROOM_API_KEY_FILE-}}" || exit 4"#,
        notes = folder.join("notes").display()
    );
    script
}

fn notes(folder: &std::path::Path) -> Vec<String> {
    let notes = fs::read_to_string(folder.join("notes")).unwrap_or_default();
    let _ = fs::remove_file(folder.join("notes"));
    notes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_rotation_goes_through_its_steps_with_private_files() {
    let (server, namespace) = (shared(), "rotator-steps");
    let folder = tempfile::tempdir().unwrap();
    create(server, namespace, "a_key", "one");
    let script = noting(folder.path(), "none");
    let (told, output) =
        rotated_once(server, namespace, &["--generate", "password:40", "--exec", &script], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        (&told["outcome"], &told["name"], &told["version"]),
        (&"rotated".into(), &"a_key".into(), &2.into())
    );
    assert_eq!(
        notes(folder.path()),
        ["set 2 new=40 old=one", "test 2 new=40 old=one", "finish 2 new=40 old=one"]
    );
    assert_eq!(done(server, namespace, &["get", "a_key", "--value-only"]).len(), 40);
    assert_eq!(versions(server, namespace, "a_key")[0], (2, "enabled".into(), true));
}

#[test]
fn once_rotates_each_secret_once_even_if_it_is_due_again() {
    let (server, namespace) = (shared(), "rotator-once");
    create(server, namespace, "a_key", "one");
    create(server, namespace, "b_key", "one");
    // Each secret is due again a second after its rotation, and the steps of the other one take longer than that.
    let script = "test $STRONGROOM_STEP != finish || sleep 1.5";
    let mut rotated = 0;
    while rotated == 0 {
        let output = run(server, namespace, &["rotator", "--once", "-o", "json", "--exec", script]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut names: Vec<_> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Json>(line).unwrap()["name"].as_str().unwrap().to_owned())
            .collect();
        rotated = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), rotated, "a secret was rotated twice in one run");
    }
    // The rotation that is due again is free for the next run.
    let secret: Json = serde_json::from_str(&done(server, namespace, &["get", "a_key"])).unwrap();
    assert!(secret.get("rotation_claim").is_none() && secret.get("rotation_failure").is_none(), "{secret}");
}

#[test]
fn a_step_that_fails_is_taken_back_and_reported() {
    let (server, namespace) = (shared(), "rotator-fails");
    let folder = tempfile::tempdir().unwrap();
    create(server, namespace, "a_key", "one");
    for (number, step, seen) in
        [(2_u64, "set", vec!["set", "abort"]), (3, "test", vec!["set", "test", "abort"])]
    {
        let script = noting(folder.path(), step);
        let (told, output) = rotated_once(server, namespace, &["--exec", &script], &[]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(told["outcome"], "failed");
        assert_eq!(told["error"], format!("the step '{step}' ended with status 3"));
        let steps = notes(folder.path());
        let steps: Vec<_> = steps.iter().map(|note| note.split(' ').next().unwrap()).collect();
        assert_eq!(steps, seen);
        assert_eq!(done(server, namespace, &["get", "a_key", "--value-only"]), "one");
        assert_eq!(versions(server, namespace, "a_key")[0], (number, "destroyed".into(), false));
        let secret: Json = serde_json::from_str(&done(server, namespace, &["get", "a_key"])).unwrap();
        assert_eq!(secret["rotation_failure"]["error"], told["error"]);
        let policy: Json =
            serde_json::from_str(&done(server, namespace, &["policy", "show", "a_key"])).unwrap();
        assert_eq!(policy["rotation_failure"], secret["rotation_failure"]);
        let table = done(server, namespace, &["-o", "table", "policy", "show", "a_key"]);
        assert!(table.contains("failed once; next attempt at "), "{table}");
        // The failure backs off, and a new policy begins again.
        done(server, namespace, &["policy", "clear", "a_key"]);
        done(server, namespace, &["policy", "set", "a_key", "--every", "1s"]);
    }
}

#[test]
fn a_version_that_a_dead_worker_left_is_taken_back_first() {
    let (server, namespace) = (shared(), "rotator-dead");
    let folder = tempfile::tempdir().unwrap();
    create(server, namespace, "a_key", "one");
    done(server, namespace, &["rotate", "a_key", "--stage", "--generate", "uuid"]);
    let script = noting(folder.path(), "none");
    let create =
        "test \"$STRONGROOM_STEP\" = create; printf '%s and more' \"$(cat \"$STRONGROOM_OLD_VALUE_FILE\")\"";
    let (told, output) = rotated_once(server, namespace, &["--create", create, "--exec", &script], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told["version"], 3);
    assert_eq!(
        notes(folder.path()),
        ["abort 2 new= old=one", "set 3 new=12 old=one", "test 3 new=12 old=one", "finish 3 new=12 old=one"]
    );
    assert_eq!(done(server, namespace, &["get", "a_key", "--value-only"]), "one and more");
    let states: Vec<_> =
        versions(server, namespace, "a_key").into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, ["enabled", "destroyed", "enabled"]);
}

/// The first worker dies by SIGKILL in its first step, with a version pending. Nobody says so to the service: the lease does.
#[test]
fn a_worker_that_is_killed_in_a_step_is_followed_by_another_one() {
    let (server, namespace) = (shared(), "rotator-takeover");
    let folder = tempfile::tempdir().unwrap();
    create(server, namespace, "a_key", "one");
    let script = noting(folder.path(), "none");
    let (runs, go) = (folder.path().join("runs"), folder.path().join("go"));
    let waits = format!(
        "{script}\n: >{runs}; until test -e {go} || ! test -e {runs}; do sleep 0.05; done",
        runs = runs.display(),
        go = go.display()
    );
    let mut worker = strongroom(
        server,
        namespace,
        &["rotator", "--lease", "2s", "--generate", "hex:16", "--exec", &waits],
    );
    let mut worker = worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !runs.exists() {
        assert!(started.elapsed() < PATIENCE, "no step was run");
        thread::sleep(Duration::from_millis(10)); // a pause of the look, not a time that is counted on
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    fs::write(go, "").unwrap();
    let listed = versions(server, namespace, "a_key");
    assert_eq!(listed, [(2, "pending".into(), false), (1, "enabled".into(), true)]);

    // It takes the rotation once the lease has ended, undoes what was left, and makes the rotation.
    let arguments = ["--generate", "password:40", "--exec", &script];
    let (told, output) = rotated_once(server, namespace, &arguments, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told["outcome"] == "rotated", "{told} {stderr}");
    assert!(stderr.contains("version 2 of 'a_key' was left pending"), "{stderr}");
    assert_eq!(
        notes(folder.path()),
        [
            "set 2 new=32 old=one",
            "abort 2 new= old=one",
            "set 3 new=40 old=one",
            "test 3 new=40 old=one",
            "finish 3 new=40 old=one"
        ]
    );
    assert_eq!(done(server, namespace, &["get", "a_key", "--value-only"]).len(), 40);
    let states: Vec<_> =
        versions(server, namespace, "a_key").into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, ["enabled", "destroyed", "enabled"]);
}

/// A key pair has its public key in the metadata, which is that of the current version.
#[test]
fn a_worker_makes_no_key_pairs() {
    let (server, namespace) = (shared(), "rotator-pairs");
    create(server, namespace, "a_key", "one");
    let output = run(server, namespace, &["rotator", "--generate", "key_pair:ed25519", "--exec", "true"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a key pair cannot be staged"));
    let staged =
        run(server, namespace, &["rotate", "a_key", "--stage", "--generate", "key_pair:ed25519", "--show"]);
    assert!(!staged.status.success() && staged.stdout.is_empty());
    assert!(String::from_utf8_lossy(&staged.stderr).contains("rotate without stage"));
    assert_eq!(versions(server, namespace, "a_key"), [(1, "enabled".into(), true)]);
}

#[test]
fn a_step_ends_with_the_lease_and_the_claim_is_lost() {
    let (server, namespace) = (shared(), "rotator-lease");
    create(server, namespace, "a_key", "one");
    // The step does not end at SIGTERM either, so the service's lease has ended, too, when the step is killed. The rotation is due
    // again then, and is not tried again.
    let stubborn = "trap '' TERM; sleep 600";
    let (told, output) = rotated_once(server, namespace, &["--lease", "1s", "--exec", stubborn], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 rotation failed"));
    assert!(
        told["error"].as_str().unwrap().starts_with("the lease ended while the step 'set' ran"),
        "{told}"
    );
    assert_eq!(done(server, namespace, &["get", "a_key", "--value-only"]), "one");
    assert_eq!(versions(server, namespace, "a_key")[0], (2, "pending".into(), false));
}

#[test]
fn the_next_worker_removes_the_values_that_a_killed_one_left() {
    let (server, namespace) = (shared(), "rotator-sigkill");
    let folder = tempfile::tempdir().unwrap();
    create(server, namespace, "a_key", "one");
    // The first step says where its value is, and waits until the worker is dead, or the folder is gone.
    let (runs, go) = (folder.path().join("runs"), folder.path().join("go"));
    let waits = format!(
        "echo \"$STRONGROOM_NEW_VALUE_FILE\" >{runs}.part; mv {runs}.part {runs}; until test -e {go} || ! test -e {runs}; do sleep 0.05; done",
        runs = runs.display(),
        go = go.display()
    );
    let mut worker = strongroom(server, namespace, &["rotator", "--exec", &waits]);
    let mut worker = worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !runs.exists() {
        assert!(started.elapsed() < PATIENCE, "no step was run");
        thread::sleep(Duration::from_millis(10)); // a pause of the look, not a time that is counted on
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    let left = fs::read_to_string(&runs).unwrap();
    let left = std::path::Path::new(left.trim());
    fs::write(go, "").unwrap();

    // A worker at its start, which has no rotation to make. A worker of another test may have removed the folder before.
    let namespace = "rotator-sigkill-next";
    let output = run(server, namespace, &["rotator", "--once", "--exec", "true"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!left.parent().unwrap().exists());
}

#[test]
fn sigterm_ends_a_worker_after_its_step() {
    let (server, namespace) = (shared(), "rotator-sigterm");
    let folder = tempfile::tempdir().unwrap();
    create(server, namespace, "a_key", "one");
    // The first step says that it runs, and waits until the worker has had the signal.
    let (runs, go) = (folder.path().join("runs"), folder.path().join("go"));
    let waits = format!(
        "{}\ntest $STRONGROOM_STEP != set || {{ : >{}; until test -e {}; do sleep 0.05; done; }}",
        noting(folder.path(), "none"),
        runs.display(),
        go.display()
    );
    let mut worker = strongroom(server, namespace, &["rotator", "-o", "json", "--exec", &waits]);
    let mut worker = worker.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !runs.exists() {
        assert!(started.elapsed() < PATIENCE, "no step was run");
        thread::sleep(Duration::from_millis(10)); // a pause of the look, not a time that is counted on
    }
    assert!(Command::new("kill").arg(worker.id().to_string()).status().unwrap().success());
    let mut heard = String::new();
    let mut stderr = BufReader::new(worker.stderr.take().unwrap());
    while !heard.contains("the worker ends after the step") {
        heard.clear();
        assert!(stderr.read_line(&mut heard).unwrap() > 0, "the worker ended before");
    }
    fs::write(go, "").unwrap();
    let mut line = String::new();
    BufReader::new(worker.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(worker.wait().unwrap().code(), Some(0));
    assert_eq!(serde_json::from_str::<Json>(&line).unwrap()["outcome"], "released");
    let steps = notes(folder.path());
    assert_eq!(
        steps.iter().map(|note| note.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["set", "abort"]
    );
    assert_eq!(done(server, namespace, &["get", "a_key", "--value-only"]), "one");
}

/// Eight programs read the secret and log in at a real PostgreSQL, again and again, while its password is rotated. None of their
/// logins fails, although none of them ever tries twice.
#[test]
fn the_password_of_a_real_postgresql_is_rotated_and_no_login_fails() {
    const READERS: usize = 8;
    const ROTATIONS: u64 = 5;
    let Some(postgres) = Postgres::start() else { return };
    let (server, namespace) = (shared(), "rotator-postgres");
    postgres.sql("CREATE ROLE app_a LOGIN PASSWORD 'first'; CREATE ROLE app_b NOLOGIN;");
    create(server, namespace, "db_login", r#"{"user": "app_a", "password": "first"}"#);

    let stop = AtomicBool::new(false);
    let logins: Vec<AtomicU64> = (0..READERS).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for own in &logins {
            let (postgres, stop) = (&postgres, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let value = done(server, namespace, &["get", "db_login", "--value-only"]);
                    let secret: Json = serde_json::from_str(&value).unwrap();
                    let field = |name: &str| secret[name].as_str().unwrap().to_owned();
                    postgres.logs_in(&field("user"), &field("password")).unwrap_or_else(|error| {
                        stop.store(true, Ordering::SeqCst);
                        panic!("a login failed: {error}");
                    });
                    own.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let ends = StopOnDrop(&stop);
        for number in 0..ROTATIONS {
            let arguments = ["--create", SCRIPT, "--exec", SCRIPT];
            let (told, output) = rotated_once(server, namespace, &arguments, &postgres.environment());
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && told["outcome"] == "rotated", "{told} {stderr}");
            assert_eq!(told["version"], number + 2);
            // What was read before the last rotation is used before the next one: a reader that has logged in twice since then has
            // read the secret again.
            let before: Vec<_> = logins.iter().map(|own| own.load(Ordering::SeqCst)).collect();
            let started = Instant::now();
            while logins.iter().zip(&before).any(|(own, before)| own.load(Ordering::SeqCst) < before + 2) {
                assert!(!stop.load(Ordering::SeqCst), "a reader has failed");
                assert!(started.elapsed() < PATIENCE, "the readers do not read");
                thread::sleep(Duration::from_millis(10)); // a pause of the look, not a time that is counted on
            }
        }
        drop(ends);
    });
    assert!(postgres.logs_in("app_a", "first").is_err());
}

/// Ends the readers also where the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

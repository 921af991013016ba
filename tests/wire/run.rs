//! `strongroom run`: the command replaces the process.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use crate::harness::{Server, shared};

const VALUE: &str = "a-value-that-stands-nowhere-else";

fn strongroom(server: &Server, namespace: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(["-n", namespace]).args(arguments);
    command.env("STRONGROOM_SERVER", &server.url).env("STRONGROOM_API_KEY", &server.root_key);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn create(server: &Server, namespace: &str, name: &str, value: &[u8]) {
    let mut child = strongroom(server, namespace, &["create", name, "--value-file", "-"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(value).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a shell with the secret in its environment, sends it a line, and waits for the first line that it prints.
fn started(
    server: &Server,
    namespace: &str,
    script: &str,
) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let arguments = ["run", "--env", "SECRET=secret", "--", "sh", "-c", script];
    let mut child = strongroom(server, namespace, &arguments).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"ready\n").unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    (child, stdout, line.trim().to_owned())
}

#[test]
fn the_command_keeps_the_process_id_the_input_and_the_exit_status() {
    let server = shared();
    create(server, "run-status", "secret", VALUE.as_bytes());
    let (mut child, mut stdout, pid) =
        started(server, "run-status", "read ready; echo $$; read answer; echo \"$answer $SECRET\"; exit 42");
    assert_eq!(pid, child.id().to_string());
    child.stdin.take().unwrap().write_all(b"heard\n").unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, format!("heard {VALUE}\n"));
    assert_eq!(child.wait().unwrap().code(), Some(42));
}

#[test]
fn signals_reach_the_command() {
    let server = shared();
    create(server, "run-signals", "secret", VALUE.as_bytes());
    let kill = |child: &Child| {
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    };
    // The signal kills the command, or the command handles it.
    let (mut child, _stdout, _) = started(server, "run-signals", "exec cat");
    kill(&child);
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    let (mut child, _stdout, _) = started(
        server,
        "run-signals",
        "trap 'exit 7' TERM; read ready; echo ready; while :; do read x; done",
    );
    kill(&child);
    // The shell's `read` can start again before the shell sees the signal. The end of the input ends the `read`.
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn no_value_or_key_is_in_the_arguments_and_no_key_in_the_environment() {
    let server = shared();
    create(server, "run-arguments", "secret", VALUE.as_bytes());
    let (child, _stdout, _) = started(server, "run-arguments", "exec cat");
    let of_process = |what: &str| {
        let bytes = std::fs::read(format!("/proc/{}/{what}", child.id())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (arguments, environment) = (of_process("cmdline"), of_process("environ"));
    assert_eq!(arguments, "cat\0");
    assert!(environment.contains(&format!("SECRET={VALUE}\0")));
    assert!(!environment.contains(&server.root_key) && !environment.contains("STRONGROOM_API_KEY"));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn values_too_large_for_one_reply_are_read_in_several() {
    let server = shared();
    let large = vec![b'x'; 64 * 1024];
    for number in 0..20 {
        create(server, "run-large", &format!("secret_{number}"), &large);
    }
    let script = "printf %s \"$secret_0$secret_7$secret_19\" | wc -c";
    let output = strongroom(server, "run-large", &["run", "--only", "secret_*", "--", "sh", "-c", script])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), (3 * 64 * 1024).to_string(), "{stderr}");
    assert!(stderr.starts_with("note: the values were read in "), "{stderr}");
}

#[test]
fn a_variable_that_decides_what_runs_is_set_only_by_its_name() {
    let server = shared();
    let names = [
        "GIT_SSH_COMMAND",
        "PYTHONWARNINGS",
        "BROWSER",
        "PERL5LIB",
        "RUBYLIB",
        "NODE_OPTIONS",
        "LD_PRELOAD",
        "DYLD_LIBRARY_PATH",
        "JDK_JAVA_OPTIONS",
        "OPENSSL_CONF",
        "HTTPS_PROXY",
        "https_proxy",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PATH",
        "STRONGROOM_SERVER",
    ];
    let run = |arguments: &[&str]| {
        let arguments = [&["run"], arguments, &["--", "echo", "ran"]].concat();
        strongroom(server, "run-families", &arguments).output().unwrap()
    };
    for name in names {
        create(server, "run-families", name, b"x");
        create(server, "run-families", &format!("app_{name}"), b"x");
    }
    // The whole list is refused in one message, and nothing runs.
    let output = run(&["--prefix", "app_", "--strip-prefix"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{told}");
    for name in names {
        assert!(told.contains(&format!("  app_{name}: --env {name}=app_{name}\n")), "{name}: {told}");
        let output = run(&["--only", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let output = run(&["--prefix", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
    }
    // Named, one of them is set, and others of the selection are not in the way.
    let output = run(&["--only", "BROWSER", "--env", "BROWSER=BROWSER"]);
    assert_eq!(output.stdout, b"ran\n", "{}", String::from_utf8_lossy(&output.stderr));
}

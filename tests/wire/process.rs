//! What other processes can see of the server's process.

use std::os::unix::fs::{MetadataExt, chown};
use std::process::Command;

use crate::harness::{Launch, Server};

#[tokio::test]
async fn no_core_dump_is_made() {
    let server = Server::alone();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process())).unwrap();
    let cores =
        limits.lines().find(|line| line.starts_with("Max core file size")).expect("the limit of core dumps");
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{cores}");
}

/// The system lets a process trace another one if it lets it read the other's environment. So the test reads that.
#[tokio::test]
async fn other_processes_of_the_same_user_cannot_trace_it() {
    const NOBODY: u32 = 65_534;
    let user = rustix::process::getuid();
    let folder = tempfile::tempdir().unwrap();
    let launch = if user.is_root() {
        // Root may trace every process, so both processes run as another user.
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        Launch::durable(folder.path()).through(&[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ])
    } else {
        Launch::durable(folder.path())
    };
    let server = launch.start();
    let reads = |process: u32| {
        let file = format!("/proc/{process}/environ");
        let mut command = Command::new(if user.is_root() { "setpriv" } else { "cat" });
        if user.is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"]);
        }
        command.arg(file).output().expect("cat runs").status.success()
    };
    let mut other = Command::new("sleep");
    if user.is_root() {
        other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sleep"]);
    }
    let mut other = other.arg("600").spawn().expect("sleep runs");
    // The process has become the other program once it has its name.
    let name = format!("/proc/{}/comm", other.id());
    while std::fs::read_to_string(&name).unwrap().trim() != "sleep" {
        std::thread::yield_now();
    }
    let control = reads(other.id());
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(control, "no process can be traced here, so this proves nothing about the server");
    assert!(!reads(server.process()), "the server can be traced");
    assert_eq!(std::fs::metadata(format!("/proc/{}/mem", server.process())).unwrap().uid(), 0);
}

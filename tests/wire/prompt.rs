//! The hidden prompt on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::harness::{Server, shared};

/// A command with a terminal of its own, which it controls.
struct OnTerminal {
    terminal: File,
    child: Child,
}

impl OnTerminal {
    fn start(arguments: &[&str]) -> Self {
        let server = shared();
        Self::start_with(arguments, &server.url, &server.root_key)
    }

    fn start_with(arguments: &[&str], server: &str, key: &str) -> Self {
        Self::start_on(Self::terminal(), arguments, server, key)
    }

    /// A terminal. It says that it has no columns.
    fn terminal() -> OwnedFd {
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap()
    }

    fn start_on(terminal: OwnedFd, arguments: &[&str], server: &str, key: &str) -> Self {
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let side = || File::options().read(true).write(true).open(&name).unwrap();
        // setsid makes the terminal the controlling one of the command, so that its signals reach it.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_strongroom")).args(arguments);
        command.env("STRONGROOM_SERVER", server).env("STRONGROOM_API_KEY", key);
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        Self { terminal: File::from(terminal), child }
    }

    /// Reads what the command writes, up to this text.
    fn reads(&mut self, text: &str) -> String {
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&seen).contains(text) {
            self.terminal.read_exact(&mut byte).unwrap();
            seen.extend_from_slice(&byte);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

#[test]
fn the_terminal_echoes_again_whatever_signal_ends_the_prompt() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let mut command = OnTerminal::start(&["-n", "prompt", "create", "never_created"]);
        command.reads("Value (hidden):");
        while command.echoes() {
            std::thread::yield_now();
        }
        command.signal(signal);
        assert_eq!(command.child.wait().unwrap().code(), Some(code), "{signal}");
        assert!(command.echoes(), "{signal}");
    }
    // Ctrl-C is the terminal's SIGINT.
    let mut command = OnTerminal::start(&["-n", "prompt", "create", "never_created"]);
    command.reads("Value (hidden):");
    while command.echoes() {
        std::thread::yield_now();
    }
    command.types("\x03");
    assert_eq!(command.child.wait().unwrap().code(), Some(130));
    assert!(command.echoes());
}

#[test]
fn a_value_is_typed_twice_and_a_name_that_is_taken_is_told_before() {
    let mut command = OnTerminal::start(&["-n", "prompt", "create", "typed"]);
    command.reads("Value (hidden):");
    while command.echoes() {
        std::thread::yield_now();
    }
    command.types("typed value\n");
    command.reads("Repeat the value:");
    while command.echoes() {
        std::thread::yield_now();
    }
    command.types("typed value\n");
    let shown = command.reads("ENCRYPTED");
    assert!(command.child.wait().unwrap().success() && !shown.contains("typed value"), "{shown}");

    let mut command = OnTerminal::start(&["-n", "prompt", "create", "typed"]);
    let told = command.reads("choose another name");
    assert!(told.contains("there is a secret 'typed' already") && !told.contains("hidden"), "{told}");
    assert_eq!(command.child.wait().unwrap().code(), Some(1));
}

#[test]
fn what_deletes_asks_and_bytes_do_not_reach_a_terminal() {
    let mut command = OnTerminal::start(&["-n", "prompt", "create", "kept", "--generate", "raw:32"]);
    command.reads("etag");
    command.child.wait().unwrap();
    let mut command = OnTerminal::start(&["-n", "prompt", "get", "kept", "--value-only"]);
    command.reads("the value is binary, which is not written to a terminal");
    assert_eq!(command.child.wait().unwrap().code(), Some(2));
    let mut command = OnTerminal::start(&["backup", "-"]);
    command.reads("a backup is binary, which is not written to a terminal");
    assert_eq!(command.child.wait().unwrap().code(), Some(2));

    let mut command = OnTerminal::start(&["-n", "prompt", "delete", "kept"]);
    command.reads("Delete 'kept' and all its versions");
    command.types("n\n");
    command.reads("the secret was not deleted");
    assert_eq!(command.child.wait().unwrap().code(), Some(1));
    let mut command = OnTerminal::start(&["-n", "prompt", "rm", "kept"]);
    command.reads("[y/N]");
    command.types("y\n");
    command.reads("recoverable until");
    assert!(command.child.wait().unwrap().success());

    let mut command = OnTerminal::start(&["master-key", "rotate"]);
    command.reads("Replace the master key");
    command.types("\n");
    command.reads("the master key was not replaced");
    assert_eq!(command.child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_service_at_a_terminal_writes_one_short_line_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let serve = ["serve", "--store", "memory", "--listen", "127.0.0.1:0", "--data-dir", data];
    let mut service = OnTerminal::start_with(&serve, "", "");
    let told = service.reads("Stop with Ctrl-C.");
    let ready = told.lines().find_map(|line| line.strip_prefix("strongroom is ready on ")).unwrap();
    let key = std::fs::read_to_string(folder.path().join("root.key")).unwrap();
    let mut get = OnTerminal::start_with(&["get", "absent"], ready.trim(), key.trim());
    get.reads("There is no secret 'absent'");
    get.child.wait().unwrap();
    service.reads("GetSecret");
    let line = service.reads("\n");
    assert!(line.starts_with("  default/absent  NOT_FOUND  SECRET_NOT_FOUND  key:"), "{line}");
    assert!(!line.contains("request_id") && line.len() < 100, "{line}");
    service.types("\x03");
    assert!(service.child.wait().unwrap().success());
}

#[test]
fn a_table_has_whole_rows_on_a_terminal_without_columns_and_whole_ids_on_a_narrow_one() {
    let server = Server::alone();
    let show = |terminal, upto: &str| {
        let mut shown = OnTerminal::start_on(terminal, &["key", "list"], &server.url, &server.root_key);
        let seen = shown.reads(upto);
        shown.child.kill().unwrap();
        shown.child.wait().unwrap();
        seen
    };
    let seen = show(OnTerminal::terminal(), "LAST USED");
    assert!(seen.trim_start().starts_with("ID ") && !seen.trim().contains('\n'), "{seen}");

    let narrow = OnTerminal::terminal();
    tcsetwinsize(&narrow, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let id = server.root_key.split('_').nth(1).unwrap();
    let seen = show(narrow, &format!("{id} "));
    assert!(seen.lines().all(|line| line.trim_end().len() <= 80), "{seen}");
}

//! Runs the transcripts in `tests/cli`, which show the command line as a user sees it, against a live server.
//!
//! `TRYCMD=overwrite cargo test --locked --test transcripts` updates them; read the difference before you commit it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)] // a test that fails should stop

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

const STRONGROOM: &str = env!("CARGO_BIN_EXE_strongroom");

#[test]
fn the_command_line_says_what_its_transcripts_say() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let key = std::fs::read_to_string(folder.path().join("root.key")).unwrap();
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("strongroom", std::path::Path::new(STRONGROOM))
        .env("STRONGROOM_SERVER", &server.address)
        .env("STRONGROOM_API_KEY", key.trim())
        .env("COLUMNS", "100")
        .case("tests/cli/*.md");
    cases.run();
}

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(folder: &std::path::Path) -> Self {
        let mut process = Command::new(STRONGROOM)
            .args(["serve", "--listen", "127.0.0.1:0", "--store", "memory", "--data-dir"])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("strongroom is ready on http://").unwrap().to_owned();
        // The rest of its output is read, so that it never blocks.
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        Self { process, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

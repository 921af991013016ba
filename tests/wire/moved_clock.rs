//! Servers whose clock the tests move, while they run: by libfaketime. Only the clock that people set moves, not the one by which
//! programs measure time.

use std::path::{Path, PathBuf};
use std::process::Command;

use uuid::Uuid;

use crate::harness::Launch;

/// A clock that a server can have.
pub struct MovedClock {
    library: String,
    /// The file with the offset.
    offset: PathBuf,
}

impl MovedClock {
    /// A clock that is right so far, with its file in this folder. `None` where libfaketime is not available: then continuous integration
    /// fails, and elsewhere a note says that the test is skipped.
    pub fn new(folder: &Path) -> Option<Self> {
        let clock = Self { library: faketime()?, offset: folder.join("offset") };
        clock.set("+0");
        Some(clock)
    }

    /// Gives a server this clock.
    pub fn of(&self, launch: Launch) -> Launch {
        let variables = [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        variables.into_iter().fold(launch, |launch, (name, value)| launch.variable(name, value))
    }

    /// Sets it to so many seconds before or after the system's, such as `+3600`, in one step.
    pub fn set(&self, offset: &str) {
        let next = self.offset.with_extension(Uuid::new_v4().to_string());
        std::fs::write(&next, format!("{offset}\n")).unwrap();
        std::fs::rename(&next, &self.offset).unwrap();
    }
}

/// The path of the library.
fn faketime() -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/faketime.sh");
    let found = Command::new("bash").arg(script).output().unwrap();
    if found.status.success() {
        return Some(String::from_utf8(found.stdout).unwrap().trim().to_owned());
    }
    let why = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(std::env::var_os("CI").is_none(), "libfaketime is not available:\n{why}");
    let said = format!("\nSKIPPED: no clock is moved, since there is no libfaketime: {why}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
    None
}

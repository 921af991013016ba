//! A small file system in memory, which a test fills and frees. A mount namespace of its own holds it: that needs no
//! root where the system lets users have one, as Linux distributions mostly do.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{Launch, Server};

/// A small disk. It ends with the test.
pub struct SmallDisk {
    /// The process that keeps the mount namespace, in which the servers run.
    holder: Child,
    /// The mount point, as processes in the namespace see it.
    mount: TempDir,
}

impl SmallDisk {
    /// A disk of this size.
    pub fn new(megabytes: u32) -> Self {
        let mount = tempfile::tempdir().expect("a temporary folder");
        let mut holder = Command::new("unshare")
            .args(["-Urm", "sh", "-c"])
            .arg("mount -t tmpfs -o size=\"$1m\" none \"$2\" && echo mounted && read -r line")
            .args(["sh", &megabytes.to_string()])
            .arg(mount.path())
            .stdin(Stdio::piped()) // the holder ends with this pipe, in whatever way the tests end
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare, of util-linux, starts");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("the holder writes");
        assert_eq!(line, "mounted\n", "no user namespace with a file system in it: this system forbids it");
        Self { holder, mount }
    }

    /// A server over the durable store, whose data folder is on the disk.
    pub fn launch(&self) -> Launch {
        let within = self.within();
        let program: Vec<_> = within.iter().map(String::as_str).collect();
        Launch::durable(&self.mount.path().join("data")).through(&program).seen_at(&self.seen().join("data"))
    }

    /// Fills it with another file, to the last byte.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("the filler is made");
        for size in [1 << 20, 4096, 1] {
            let part = vec![1; size];
            let full = loop {
                if let Err(error) = file.write_all(&part) {
                    break error;
                }
            };
            assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        }
    }

    /// Removes the file that filled it.
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
    }

    /// Gives it another size.
    pub fn resize(&self, megabytes: u32) {
        let within = self.within();
        let done = Command::new(&within[0])
            .args(&within[1..])
            .args(["mount", "-o", &format!("remount,size={megabytes}m")])
            .arg(self.mount.path())
            .status()
            .expect("nsenter starts");
        assert!(done.success(), "the disk does not grow");
    }

    fn within(&self) -> Vec<String> {
        let holder = self.holder.id().to_string();
        ["nsenter", "--user", "--mount", "--preserve-credentials", "--target", &holder, "--"]
            .map(String::from)
            .into()
    }

    fn filler(&self) -> PathBuf {
        self.seen().join("filler")
    }

    /// The disk, as processes outside the namespace see it.
    fn seen(&self) -> PathBuf {
        let path = self.mount.path().strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Limits the size of the files that a running server writes.
pub fn limit_files(server: &Server, bytes: &str) {
    let done = Command::new("prlimit")
        .args(["--pid", &server.process().to_string(), &format!("--fsize={bytes}:unlimited")])
        .status()
        .expect("prlimit, of util-linux, starts");
    assert!(done.success(), "the limit is not set");
}

//! A machine that uses a disk and can be cut off from it: a process of its own, with mounts of its own. When either side
//! ends, in any way, the kernel removes the mounts and the loop device.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::disk::{Content, Disk};
use super::fuse;

/// The variable that gives a machine its folder. Other variables give it its task.
pub const PLACE: &str = "STRONGROOM_POWER_PLACE";

/// Mounts the disk (its /dev/fuse is standard input), prints `mounted`, and runs the task. The line comes before any access
/// to the disk, because the disk is served only after that line.
const SCRIPT: &str = r#"
set -eu
mount -i -t fuse -o fd=0,rootmode=100000,user_id=0,group_id=0 power "$STRONGROOM_POWER_PLACE/disk"
exec </dev/null
echo mounted
what=$1
file_system=$2
shift 2
case $what-$file_system in
format-ext4)
    mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 -J size=8 "$STRONGROOM_POWER_PLACE/disk" ;;
format-xfs)
    "$1" -q -f -K "$STRONGROOM_POWER_PLACE/disk" ;;
run-*)
    # As late as can be a journal is committed, and file systems of one UUID can be mounted at the same time.
    case $file_system in ext4) options=commit=600 ;; xfs) options=nouuid ;; esac
    mount_disk() {
        mount -t "$file_system" -o "loop,$options" "$STRONGROOM_POWER_PLACE/disk" "$STRONGROOM_POWER_PLACE/files"
    }
    # A superblock of which half was written: ext4 has copies, from which e2fsck mends it, as a computer does when it starts.
    mount_disk || {
        [ "$file_system" = ext4 ]
        e2fsck -fy "$STRONGROOM_POWER_PLACE/disk" || [ $? -lt 4 ]
        mount_disk
    }
    status=0
    for task in $STRONGROOM_POWER_TASKS; do
        STRONGROOM_POWER_TASK=$task timeout -s KILL 120 "$@" || { status=$?; break; }
    done
    umount "$STRONGROOM_POWER_PLACE/files"
    umount "$STRONGROOM_POWER_PLACE/disk"
    exit "$status" ;;
esac
"#;

/// The result of a run.
pub struct Run {
    pub disk: Disk,
    /// The lines that the machine noted.
    pub notes: Vec<String>,
    /// The error is what the machine printed when it failed.
    pub outcome: Result<(), String>,
}

/// The file system on the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// A folder can be marked so that new names in it are durable at once.
    Ext4,
    /// A folder cannot be marked so.
    Xfs,
}

impl FileSystem {
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

/// The reason why this computer cannot run machines with this file system. `None` if it can.
pub fn missing(file_system: FileSystem) -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting needs root");
    }
    let devices = ["/dev/fuse", "/dev/loop-control"];
    if devices.iter().any(|device| !Path::new(device).exists()) {
        return Some("there is no /dev/fuse or no /dev/loop-control");
    }
    let tools =
        [("mkfs.ext4", "-V"), ("unshare", "--version"), ("mount", "--version"), ("timeout", "--version")];
    let absent = |(tool, version): &(&str, &str)| Command::new(tool).arg(version).output().is_err();
    if tools.iter().any(absent) {
        return Some("e2fsprogs, util-linux or coreutils is not installed");
    }
    if file_system == FileSystem::Xfs {
        let _ = Command::new("modprobe").args(["-q", "xfs"]).status();
        if !fs::read_to_string("/proc/filesystems").is_ok_and(|known| known.contains("\txfs\n")) {
            return Some("the kernel has no XFS");
        }
        return mkfs_xfs().is_none().then_some("mkfs.xfs is not available: see tests/tools/xfsprogs.sh");
    }
    None
}

/// The path of mkfs.xfs, from the script that fetches it where it is missing.
fn mkfs_xfs() -> Option<&'static str> {
    static MKFS: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/xfsprogs.sh");
        let found = Command::new("bash").arg(script).output().expect("bash runs");
        found.status.success().then(|| String::from_utf8(found.stdout).expect("a path").trim().to_owned())
    };
    MKFS.get_or_init(find).as_deref()
}

/// A disk with an empty file system on it.
pub fn formatted(file_system: FileSystem) -> Content {
    static EXT4: OnceLock<Content> = OnceLock::new();
    static XFS: OnceLock<Content> = OnceLock::new();
    let format = |more: &[&str]| {
        let run = start(Content::zeros(), &[&["format", file_system.name()], more].concat(), &[]);
        run.outcome.expect("the disk can be formatted");
        run.disk.content
    };
    match file_system {
        FileSystem::Ext4 => EXT4.get_or_init(|| format(&[])).clone(),
        FileSystem::Xfs => XFS.get_or_init(|| format(&[mkfs_xfs().expect("mkfs.xfs")])).clone(),
    }
}

/// Runs this program's test `machine`, once for each task and with this environment, as a machine with the disk mounted.
pub fn run(file_system: FileSystem, content: Content, tasks: &[&str], environment: &[(&str, String)]) -> Run {
    let program = std::env::current_exe().unwrap();
    let environment = [environment, &[("STRONGROOM_POWER_TASKS", tasks.join(" "))]].concat();
    start(
        content,
        &[
            "run",
            file_system.name(),
            program.to_str().unwrap(),
            "--exact",
            "machine",
            "--ignored",
            "--nocapture",
        ],
        &environment,
    )
}

fn start(content: Content, arguments: &[&str], environment: &[(&str, String)]) -> Run {
    let place = tempfile::Builder::new().prefix("strongroom-power-").tempdir().unwrap();
    fs::write(place.path().join("disk"), "").unwrap();
    fs::write(place.path().join("notes"), "").unwrap();
    fs::create_dir(place.path().join("files")).unwrap();
    let printed = File::create(place.path().join("printed")).unwrap();
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();

    let mut child = Command::new("unshare")
        .args(["--mount", "--", "sh", "-c", SCRIPT, "sh"])
        .args(arguments)
        .env(PLACE, place.path())
        .env("RUST_BACKTRACE", "0") // people read a machine's output
        .envs(environment.iter().cloned())
        .stdin(Stdio::from(device.try_clone().unwrap()))
        .stdout(Stdio::piped())
        .stderr(Stdio::from(printed))
        .spawn()
        .expect("unshare is installed");
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();

    let mut disk = Disk::new(content);
    if first == "mounted\n" {
        // A thread reads the rest of its output, so that the machine does not block while the disk is served.
        let reader = std::thread::spawn(move || said.lines().map_while(Result::ok).collect::<Vec<_>>());
        fuse::serve(device, &mut disk).unwrap();
        drop(reader.join());
    }
    let status = child.wait().unwrap();
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    let outcome = if status.success() { Ok(()) } else { Err(format!("{status}\n{}", read("printed"))) };
    Run { disk, notes: read("notes").lines().map(str::to_owned).collect(), outcome }
}

/// Inside a machine: the folder with its files, and the disk under them.
pub fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

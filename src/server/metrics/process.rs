//! What this process takes of its machine, as Linux tells it. On other systems nothing is known.

use std::fs;
use std::path::Path;

use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};

/// The ticks of a second in which Linux counts the time of processors, on every architecture that Strongroom is built for.
const TICKS: f64 = 100.0;
/// The fields of `/proc/self/stat` behind the name of the program: the time in the program, and the time in the system for it.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// What the process takes.
pub(super) struct ProcessReading {
    /// The memory in use, in bytes.
    pub(super) resident: Option<u64>,
    /// The time of processors until now, in seconds.
    pub(super) cpu: Option<f64>,
    /// The number of open files, sockets among them.
    pub(super) files: Option<u64>,
    /// How many there may be.
    pub(super) most_files: Option<u64>,
}

/// Reads what the process takes now.
pub(super) fn read() -> ProcessReading {
    let listed = fs::read_dir("/proc/self/fd").ok();
    ProcessReading {
        resident: fs::read_to_string("/proc/self/statm").ok().and_then(|text| resident(&text)),
        cpu: fs::read_to_string("/proc/self/stat").ok().and_then(|text| cpu(&text)),
        // Without the one that the list is read from.
        files: listed.map(|files| u64::try_from(files.count().saturating_sub(1)).unwrap_or(u64::MAX)),
        most_files: getrlimit(Resource::Nofile).current,
    }
}

/// The room that is free on the disk of a folder for a program that is not the system's, and the size of the disk, in bytes.
pub(super) fn room(folder: &Path) -> Option<(u64, u64)> {
    let disk = statvfs(folder).ok()?;
    Some((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

fn resident(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(u64::try_from(rustix::param::page_size()).ok()?))
}

fn cpu(stat: &str) -> Option<f64> {
    // The name of the program stands in brackets, and can hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(USER_TIME)? + ticks(SYSTEM_TIME)?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_processors_is_read_behind_the_name_of_the_program() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 101 0 0 0 250 150 0 0 20 0 1 0 5 0 0";
        assert_eq!(cpu(stat), Some(4.0));
        assert_eq!((cpu("7 (a"), cpu("7 (a) S"), cpu("")), (None, None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_something() {
        let reading = read();
        assert!(reading.resident.unwrap() > 1 << 20);
        assert!(reading.cpu.is_some());
        assert!(reading.files.unwrap() >= 3);
        assert!(reading.most_files.is_none_or(|most| most > 3));
        let (free, size) = room(Path::new("/")).unwrap();
        assert!(free <= size);
    }
}

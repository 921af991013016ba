use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::folder::{StoreFolder, unusable};
use super::opening;
use crate::store::Unavailable;

/// The room that sled needs to open, in bytes: it fills the rest of a segment, and writes a snapshot.
const NEEDED: u64 = 16 << 20;
/// A file that shows whether the disk takes writes.
const PROBE: &str = "store.probe";

/// Whether the disk takes writes and has the room that sled needs to open. Until then a broken engine is left
/// alone, since it can still serve reads.
pub(super) fn probe(data: &Path) -> Result<(), Unavailable> {
    let failed = |error: io::Error| Unavailable(format!("the disk: {error}").into());
    let disk = rustix::fs::statvfs(data).map_err(|error| failed(error.into()))?;
    let needed = NEEDED + opening::room_for_copy(&data.join("store")).map_err(failed)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < needed {
        return Err(Unavailable(
            format!("the disk of {} is full: free {} MiB or more", data.display(), needed >> 20).into(),
        ));
    }
    let probe = data.join(PROBE);
    // A file that a kill left goes first. So does a link: the file that it names is not ours to write to.
    match fs::remove_file(&probe) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let written = write_probe(&probe, &data.join("store/db"));
    fs::remove_file(&probe).and(written).map_err(failed)
}

/// Writes at both ends of the range that sled may write to: a process can also have a limit on the size of a file.
fn write_probe(probe: &Path, log: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(probe)?;
    let log = fs::metadata(log).map_or(0, |log| log.len());
    file.write_all_at(&[0; 64 * 1024], 0)?;
    file.write_all_at(&[0; 4096], log + NEEDED)?;
    file.sync_all()
}

/// Writes the whole of sled's log again, as the operating system shows it, and syncs it. After a failed sync the
/// shown pages may never have reached the disk, and a later sync would not notice. Once a sync has succeeded for
/// pages that were all written again, the disk holds what is shown.
pub(super) fn rewrite(folder: &StoreFolder) -> Result<(), Unavailable> {
    let log = folder.store().join("db");
    rewrite_file(&log).map_err(|error| unusable(&log, &error))
}

fn rewrite_file(path: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    // Holes stay holes: filling them could take more room than there is.
    while let Some((start, end)) = next_data(&file, at)? {
        at = start;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let Some(part) = buffer.get_mut(..wanted) else { break };
            file.read_exact_at(part, at)?;
            file.write_all_at(part, at)?;
            at += part.len() as u64;
        }
    }
    file.sync_all()
}

/// The start and end of the next part of a file that is not a hole.
fn next_data(file: &File, from: u64) -> io::Result<Option<(u64, u64)>> {
    let start = match seek(file, SeekFrom::Data(from)) {
        Err(Errno::NXIO) => return Ok(None),
        found => found?,
    };
    Ok(Some((start, seek(file, SeekFrom::Hole(start))?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewriting_keeps_every_byte_and_every_hole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        rewrite_file(&path).unwrap(); // what is not there needs nothing
        let file = File::create(&path).unwrap();
        file.write_all_at(&[7; 5000], 3).unwrap();
        file.write_all_at(&[8; 10], 64 << 20).unwrap();
        file.set_len((64 << 20) + 4096).unwrap();
        let before = fs::read(&path).unwrap();
        rewrite_file(&path).unwrap();
        assert!(fs::read(&path).unwrap() == before);
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap());
        assert!(blocks * 512 < 32 << 20, "the hole was filled: {blocks} blocks");
    }

    #[test]
    fn a_probe_leaves_nothing_behind_and_tells_a_folder_that_takes_no_writes() {
        let folder = tempfile::tempdir().unwrap();
        probe(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(probe(&folder.path().join("missing")).is_err());
    }
}

//! Copies of sled's own files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{ioctl_ficlone, statvfs};
use rustix::io::Errno;

use super::folder::sync_folder;

/// The files that sled overwrites, replaces or removes while it opens.
pub(super) fn files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for found in fs::read_dir(folder)? {
        let found = found?;
        let name = found.file_name().to_string_lossy().into_owned();
        if name == "db" || name == "conf" || name.starts_with("snap.") {
            files.push((name, found.path()));
        }
    }
    Ok(files)
}

/// Copies them into another folder, durably.
pub(super) fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for (name, file) in files(from)? {
        let source = File::open(file)?;
        let copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to.join(name))?;
        // Shares the blocks, where the file system can.
        match ioctl_ficlone(&copy, &source) {
            Ok(()) => {}
            Err(Errno::NOSPC | Errno::DQUOT) => return Err(no_room(&source, free(to)?)),
            Err(_) => copy_data(&source, &copy, free(to)?)?,
        }
        copy.sync_all()?;
    }
    sync_folder(to)
}

/// Copies a file byte by byte. A long run of zeros becomes a hole in the copy.
fn copy_data(source: &File, copy: &File, free: u64) -> io::Result<()> {
    if free < size(source)? {
        return Err(no_room(source, free));
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut at = 0;
    loop {
        let read = source.read_at(&mut buffer, at)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        if part.iter().any(|byte| *byte != 0) {
            copy.write_all_at(part, at).map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => no_room(source, free),
                _ => error,
            })?;
        }
        at += part.len() as u64;
    }
    copy.set_len(at)
}

/// The room that a file takes on the disk, in bytes.
fn size(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.blocks() * 512)
}

fn free(folder: &Path) -> io::Result<u64> {
    let disk = statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn no_room(source: &File, free: u64) -> io::Error {
    let needed = size(source).unwrap_or(0).div_ceil(1 << 20);
    let free = free >> 20;
    io::Error::new(
        io::ErrorKind::StorageFull,
        format!(
            "there is no space for the copy that this file system needs while the store opens: it needs \
             {needed} MiB, and {free} MiB are free"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_every_byte_and_every_hole_or_says_what_room_it_needs() {
        // In memory: a file system there cannot share blocks.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let source = File::create_new(folder.path().join("db")).unwrap();
        source.write_all_at(&[7; 200_000], 3).unwrap();
        source.write_all_at(&[8; 10], 64 << 20).unwrap();
        source.set_len((64 << 20) + 4096).unwrap();
        let copied = folder.path().join("copy");
        fs::create_dir(&copied).unwrap();
        copy_files(folder.path(), &copied).unwrap();
        assert!(fs::read(folder.path().join("db")).unwrap() == fs::read(copied.join("db")).unwrap());
        assert!(size(&File::open(copied.join("db")).unwrap()).unwrap() < 1 << 20, "the hole was filled");

        let source = File::open(folder.path().join("db")).unwrap();
        let full =
            copy_data(&source, &File::create(folder.path().join("other")).unwrap(), 100_000).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert!(full.to_string().contains("needs 1 MiB, and 0 MiB are free"), "{full}");
    }
}

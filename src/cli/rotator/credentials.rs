//! The files of the values, for one step of the command.
//!
//! They are in a folder that only this user can enter, in memory where the system has a folder for that. They are overwritten
//! and removed when the step has ended. A worker that is killed cannot do that, so the next one does: each folder has a lock,
//! and the lock ends with its worker.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::cli::failure;

/// How the names of the folders begin.
const PREFIX: &str = "strongroom-rotator-";
/// The file in a folder that its worker has locked.
const LOCK: &str = "lock";

/// The files of one step. Dropping them removes them.
pub(super) struct Files {
    /// The new value, where there is one.
    pub(super) new: Option<PathBuf>,
    /// The old value, where there is one.
    pub(super) old: Option<PathBuf>,
    /// Removed after the files, since it is dropped after [`Drop`] has run.
    folder: TempDir,
    /// Says that the worker lives.
    _lock: File,
}

impl Files {
    /// Writes the values, in a new folder at [`place`].
    pub(super) fn write(new: Option<&[u8]>, old: Option<&[u8]>) -> io::Result<Self> {
        Self::write_within(&place(), new, old)
    }

    fn write_within(within: &Path, new: Option<&[u8]>, old: Option<&[u8]>) -> io::Result<Self> {
        let private = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(within)?;
        let lock = locked(folder.path())?;
        let mut files = Self { new: None, old: None, folder, _lock: lock };
        // Each file is noted before it has a value, so that it is overwritten also when its writing fails.
        if let Some(value) = new {
            let path = files.folder.path().join("new");
            files.new = Some(path.clone());
            write_private(&path, value)?;
        }
        if let Some(value) = old {
            let path = files.folder.path().join("old");
            files.old = Some(path.clone());
            write_private(&path, value)?;
        }
        Ok(files)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in [&self.new, &self.old].into_iter().flatten() {
            remove(path);
        }
    }
}

/// Where the folders are: in memory, where the system has a folder for that.
pub(super) fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Removes the folders that workers of this user have left because they were killed.
pub(super) fn remove_left_behind(within: &Path) {
    let Ok(entries) = fs::read_dir(within) else { return };
    for entry in entries.flatten() {
        let folder = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !is_own_folder(&folder) {
            continue;
        }
        // A worker that lives has the lock. A folder without one has no values yet.
        let Ok(lock) = OpenOptions::new().write(true).open(folder.join(LOCK)) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        remove(&folder.join("new"));
        remove(&folder.join("old"));
        let shown = folder.display();
        failure::note(&match fs::remove_dir_all(&folder) {
            Ok(()) => format!("{shown} was removed: a worker that was killed had left values there"),
            Err(error) => {
                format!("{shown}, which a worker that was killed has left, cannot be removed: {error}")
            }
        });
    }
}

/// Whether this is a folder, and no link, of the user who runs the worker.
fn is_own_folder(path: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == user)
}

/// The lock of a new folder. The file gets its name when it is locked, so that no other worker finds it unlocked before.
fn locked(folder: &Path) -> io::Result<File> {
    let (unlocked, path) = (folder.join("lock.new"), folder.join(LOCK));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unlocked)?;
    file.try_lock()?;
    fs::rename(unlocked, path)?;
    Ok(file)
}

/// Overwrites and removes a file. A command may have removed the file itself, and what cannot be overwritten is removed all the
/// same.
fn remove(path: &Path) {
    let _ = overwrite(path);
    let _ = fs::remove_file(path);
}

fn write_private(path: &Path, value: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(value)?;
    file.sync_all()
}

fn overwrite(path: &Path) -> io::Result<()> {
    // A command that put a link there must not have something else overwritten.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(());
    }
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut left = file.metadata()?.len();
    let zeros = [0_u8; 4096];
    while let Some(chunk) = zeros.get(..usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len())) {
        if chunk.is_empty() {
            break;
        }
        file.write_all(chunk)?;
        left -= chunk.len() as u64;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_private_and_are_gone_afterwards() {
        let files = Files::write(Some(b"new value"), Some(b"old value")).unwrap();
        let (new, old) = (files.new.clone().unwrap(), files.old.clone().unwrap());
        assert_eq!(
            (fs::read(&new).unwrap(), fs::read(&old).unwrap()),
            (b"new value".into(), b"old value".into())
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = new.parent().unwrap().to_owned();
        assert_eq!((mode(&new), mode(&old), mode(&folder)), (0o600, 0o600, 0o700));

        // Another name of the same file shows that it was overwritten before it was removed.
        let other = folder.with_extension("other");
        fs::hard_link(&new, &other).unwrap();
        drop(files);
        assert_eq!(fs::read(&other).unwrap(), [0; 9]);
        fs::remove_file(other).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn only_what_a_killed_worker_left_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let living = Files::write_within(place.path(), Some(b"new value"), Some(b"old value")).unwrap();
        // The death of a worker ends its lock, and leaves the files.
        let left = place.path().join("strongroom-rotator-left");
        let other = place.path().join("other");
        for folder in [&left, &other] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join(LOCK), "").unwrap();
            fs::write(folder.join("new"), "new value").unwrap();
        }
        let link = place.path().join("strongroom-rotator-link");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let kept = place.path().join("kept");
        fs::hard_link(left.join("new"), &kept).unwrap();

        remove_left_behind(place.path());
        assert!(!left.exists());
        assert_eq!(fs::read(kept).unwrap(), [0; 9]);
        assert_eq!(fs::read(other.join("new")).unwrap(), b"new value");
        assert_eq!(fs::read(living.new.as_ref().unwrap()).unwrap(), b"new value");
        assert_eq!(fs::read(living.old.as_ref().unwrap()).unwrap(), b"old value");
    }

    #[test]
    fn a_link_that_the_command_put_there_is_removed_and_not_followed() {
        let files = Files::write(Some(b"new value"), None).unwrap();
        let path = files.new.clone().unwrap();
        let target = tempfile::NamedTempFile::new().unwrap();
        fs::write(target.path(), b"kept").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(target.path(), &path).unwrap();
        drop(files);
        assert_eq!(fs::read(target.path()).unwrap(), b"kept");
    }
}

//! The files of the values, for one step of the command.
//!
//! They are in a folder that only this user can enter, in memory where the system has a folder for that. They are overwritten
//! and removed when the step has ended.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The files of one step. Dropping them removes them.
pub(super) struct Files {
    /// The new value, where there is one.
    pub(super) new: Option<PathBuf>,
    /// The old value, where there is one.
    pub(super) old: Option<PathBuf>,
    /// Removed after the files, since it is dropped after [`Drop`] has run.
    _folder: TempDir,
}

impl Files {
    /// Writes the values.
    pub(super) fn write(new: Option<&[u8]>, old: Option<&[u8]>) -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let within = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let private = fs::Permissions::from_mode(0o700);
        let folder =
            tempfile::Builder::new().prefix("strongroom-").permissions(private).tempdir_in(within)?;
        let mut files = Self { new: None, old: None, _folder: folder };
        // Each file is noted before it has a value, so that it is overwritten also when its writing fails.
        if let Some(value) = new {
            let path = files._folder.path().join("new");
            files.new = Some(path.clone());
            write_private(&path, value)?;
        }
        if let Some(value) = old {
            let path = files._folder.path().join("old");
            files.old = Some(path.clone());
            write_private(&path, value)?;
        }
        Ok(files)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in [&self.new, &self.old].into_iter().flatten() {
            // A command may have removed the file itself. What cannot be overwritten is removed all the same.
            let _ = overwrite(path);
            let _ = fs::remove_file(path);
        }
    }
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

//! The data folder: whose it is, and the keys in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::crypto::{MasterKey, MasterKeyError};

/// A data folder that this process holds, until this is dropped or the process ends.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The file that the process which serves the folder holds a lock on. It says which process that is, for people; only the
/// lock counts, so that a file which a killed process left behind is no obstacle.
const LOCK: &str = "strongroom.lock";
const MASTER_KEY: &str = "master.key";

/// Why a data folder can not be served. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It can not be made, read or written.
    #[error("{} can not be used: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
    /// Another process serves it.
    #[error(
        "{} is served by {}: one folder serves one server. Stop that one, or give this one another --data-dir", .0.display(),
        .1
    )]
    Held(PathBuf, String),
}

impl DataDir {
    /// Takes hold of a folder, which is made where it is missing.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        make(path).map_err(|error| DataDirError::File(path.to_owned(), error))?;
        let lock = take(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the first API key is written.
    pub fn root_key(&self) -> PathBuf {
        self.path.join("root.key")
    }

    /// Makes the master key's file in the folder, if it is missing, and says whether it was.
    pub fn make_master_key(&self) -> Result<bool, MasterKeyError> {
        let file = self.master_key();
        if file.exists() {
            return Ok(false);
        }
        MasterKey::generate()?.write_new(&file)?;
        Ok(true)
    }

    /// Removes what a start or a renewal that was cut short left of the master key: a second copy of it.
    pub fn tidy_master_key(&self) {
        let _ = fs::remove_file(self.master_key().with_extension("unfinished"));
    }

    /// Where the master key is, unless another source is given.
    fn master_key(&self) -> PathBuf {
        self.path.join(MASTER_KEY)
    }
}

/// Makes a folder for its owner alone, with those above it that are missing, and makes their names durable.
fn make(folder: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(folder)?;
    let missing: Vec<_> = absolute.ancestors().take_while(|above| !above.exists()).collect();
    for above in missing.into_iter().rev() {
        DirBuilder::new().mode(0o700).create(above)?;
        if let Some(parent) = above.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    let mode = fs::metadata(&absolute)?.permissions().mode();
    if mode & 0o022 != 0 {
        let mode = format!("{:04o}", mode & 0o7777);
        tracing::warn!(folder = %absolute.display(), mode, "others can write to the data folder");
    }
    Ok(())
}

fn take(folder: &Path) -> Result<File, DataDirError> {
    let failed = |error| DataDirError::File(folder.join(LOCK), error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()); // what a link names is not ours to write to
    let mut file = options.open(folder.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.take(64).read_to_string(&mut holder);
            // It may be about to write its number.
            let known = read.is_ok_and(|_| holder.trim().parse::<u32>().is_ok());
            let holder =
                if known { format!("the process {}", holder.trim()) } else { "another process".to_owned() };
            return Err(DataDirError::Held(folder.to_owned(), holder));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_at_a_time_which_the_refusal_names() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        let held = DataDir::open(&data).unwrap();
        let refused = DataDir::open(&data).err().unwrap().to_string();
        assert!(refused.contains(&format!("the process {}", std::process::id())), "{refused}");
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        drop(held);
        // What is left is the file, not the lock.
        assert!(data.join(LOCK).exists());
        DataDir::open(&data).unwrap();
    }

    #[test]
    fn a_master_key_is_made_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        assert!(data.make_master_key().unwrap());
        let before = fs::read(data.master_key()).unwrap();
        assert!(!data.make_master_key().unwrap());
        fs::write(folder.path().join("master.unfinished"), &before).unwrap();
        data.tidy_master_key();
        assert!(!folder.path().join("master.unfinished").exists());
        assert_eq!(fs::read(data.master_key()).unwrap(), before);
    }
}

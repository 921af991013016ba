//! The data folder: which process holds it, and the keys in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::crypto::{MasterKey, MasterKeyError, unfinished, write_private};

/// A data folder that this process holds. The hold ends when this is dropped or the process ends.
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The lock file. The process that serves the folder holds a lock on it, and writes its number into it for people. Only the
/// lock counts: a file that a killed process left behind is no obstacle.
const LOCK: &str = "strongroom.lock";
const MASTER_KEY: &str = "master.key";
const ROOT_KEY: &str = "root.key";
const AUDIT_LOG: &str = "audit";
/// Marks the root key beside it as that of a store in memory. It is made before such a key, and removed before a root key of
/// another store is written.
const ROOT_KEY_OF_MEMORY: &str = "root.key.memory";

/// Why a data folder cannot be served. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made, read or written.
    #[error("{} cannot be used: {}", .0.display(), .1)]
    File(PathBuf, #[source] io::Error),
    /// Another process serves it.
    #[error(
        "{} is in use by {}: each server needs a folder of its own. Stop that server, or give this one another --data-dir", .0.display(),
        .1
    )]
    Held(PathBuf, String),
}

impl DataDir {
    /// Takes hold of a folder. Makes it where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, DataDirError> {
        make(path).map_err(|error| DataDirError::File(path.to_owned(), error))?;
        let lock = take(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The path of the folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the first API key.
    pub(super) fn root_key(&self) -> PathBuf {
        self.path.join(ROOT_KEY)
    }

    /// The folder of the audit log.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.path.join(AUDIT_LOG)
    }

    /// Writes the first API key of a new store. The key of another store is kept under another name: `root.key.1` and so on.
    /// The key of a store in memory, which is gone, is replaced by the key of the next store in memory.
    pub(super) fn write_root_key(&self, line: &[u8], in_memory: bool) -> io::Result<()> {
        let (file, of_memory) = (self.root_key(), self.path.join(ROOT_KEY_OF_MEMORY));
        if file.exists() && !(in_memory && of_memory.exists()) {
            let kept = keep(&file)?;
            tracing::warn!(
                file = %file.display(), kept = %kept.display(),
                "the store is new, and the folder has the root key of another store: that key is kept under another name"
            );
        }
        if in_memory {
            write_private(&of_memory, b"", false)?;
        } else if of_memory.exists() {
            fs::remove_file(&of_memory)?;
        }
        write_private(&file, line, false)
    }

    /// Makes the master key's file in the folder where it is missing. True: it was missing.
    pub(super) fn make_master_key(&self) -> Result<bool, MasterKeyError> {
        let file = self.master_key();
        if file.exists() {
            return Ok(false);
        }
        MasterKey::generate()?.write_new(&file)?;
        Ok(true)
    }

    /// Removes the second copy of the master key that an interrupted start or rotation left behind.
    pub(super) fn tidy_master_key(&self) {
        for left in [unfinished(&self.master_key()), self.path.join("master.unfinished")] {
            let _ = fs::remove_file(left); // an earlier release used the second name
        }
    }

    /// The file of the master key, unless the settings name another source.
    fn master_key(&self) -> PathBuf {
        self.path.join(MASTER_KEY)
    }
}

/// Gives a file a second name that no other file has: its own name with a number behind it.
fn keep(file: &Path) -> io::Result<PathBuf> {
    let mut number = 1_u32;
    loop {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{number}"));
        match fs::hard_link(file, &name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            linked => return linked.map(|()| name.into()),
        }
    }
}

/// Makes a folder for its owner alone, and the folders above it where they are missing. Their names are durable then.
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

/// Takes the lock of a folder.
fn take(folder: &Path) -> Result<File, DataDirError> {
    let failed = |error| DataDirError::File(folder.join(LOCK), error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()); // the target of a link is not ours to write to
    let mut file = options.open(folder.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.take(64).read_to_string(&mut holder);
            // The other process may not have written its number yet.
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
        // The file is left, and the lock is not.
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
        let left = ["master.key.unfinished", "master.unfinished"].map(|name| folder.path().join(name));
        left.iter().for_each(|left| fs::write(left, &before).unwrap());
        data.tidy_master_key();
        assert!(left.iter().all(|left| !left.exists()));
        assert_eq!(fs::read(data.master_key()).unwrap(), before);
    }

    #[test]
    fn the_root_key_of_another_store_is_kept_but_for_one_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let there = || {
            let names = ["root.key", "root.key.1", "root.key.2", "root.key.3"];
            names.map(|name| fs::read_to_string(folder.path().join(name)).unwrap_or_default())
        };
        data.write_root_key(b"a", false).unwrap();
        assert_eq!(there(), ["a", "", "", ""]);
        // A store in memory keeps the root key of a store on disk, and not that of another store in memory.
        data.write_root_key(b"m", true).unwrap();
        data.write_root_key(b"n", true).unwrap();
        assert_eq!(there(), ["n", "a", "", ""]);
        data.write_root_key(b"b", false).unwrap();
        data.write_root_key(b"c", false).unwrap();
        assert_eq!(there(), ["c", "a", "n", "b"]);
        data.write_root_key(b"o", true).unwrap();
        let kept = fs::metadata(folder.path().join("root.key.4")).unwrap();
        assert_eq!((there()[0].as_str(), kept.permissions().mode() & 0o777), ("o", 0o600));
    }
}

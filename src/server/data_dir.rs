//! The data folder: whose it is, and the keys in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::crypto::{MasterKey, MasterKeyError, unfinished, write_private};

/// A data folder that this process holds, until this is dropped or the process ends.
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The file that the process which serves the folder holds a lock on. It says which process that is, for people; only the
/// lock counts, so that a file which a killed process left behind is no obstacle.
const LOCK: &str = "strongroom.lock";
const MASTER_KEY: &str = "master.key";
const ROOT_KEY: &str = "root.key";
/// Beside a root key that is of a store in memory. It is there before the key, and goes before one of another kind comes.
const ROOT_KEY_OF_MEMORY: &str = "root.key.memory";

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
    pub(super) fn open(path: &Path) -> Result<Self, DataDirError> {
        make(path).map_err(|error| DataDirError::File(path.to_owned(), error))?;
        let lock = take(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the first API key is written.
    pub(super) fn root_key(&self) -> PathBuf {
        self.path.join(ROOT_KEY)
    }

    /// Writes the first API key of a new store. One that is there, of another store, is kept under another name: `root.key.1`
    /// and so on. That of a store in memory, which is gone, is replaced by the next one of its kind.
    pub(super) fn write_root_key(&self, line: &[u8], in_memory: bool) -> io::Result<()> {
        let (file, of_memory) = (self.root_key(), self.path.join(ROOT_KEY_OF_MEMORY));
        if file.exists() && !(in_memory && of_memory.exists()) {
            let kept = keep(&file)?;
            tracing::warn!(
                file = %file.display(), kept = %kept.display(),
                "the store is new, and there is the root key of another one: it is kept under another name"
            );
        }
        if in_memory {
            write_private(&of_memory, b"", false)?;
        } else if of_memory.exists() {
            fs::remove_file(&of_memory)?;
        }
        write_private(&file, line, false)
    }

    /// Makes the master key's file in the folder, if it is missing, and says whether it was.
    pub(super) fn make_master_key(&self) -> Result<bool, MasterKeyError> {
        let file = self.master_key();
        if file.exists() {
            return Ok(false);
        }
        MasterKey::generate()?.write_new(&file)?;
        Ok(true)
    }

    /// Removes what a start or a renewal that was cut short left of the master key: a second copy of it.
    pub(super) fn tidy_master_key(&self) {
        for left in [unfinished(&self.master_key()), self.path.join("master.unfinished")] {
            let _ = fs::remove_file(left); // the second one by an earlier release
        }
    }

    /// Where the master key is, unless another source is given.
    fn master_key(&self) -> PathBuf {
        self.path.join(MASTER_KEY)
    }
}

/// Gives a file a second name, which nothing has yet: its own and a number behind it.
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
        // One in memory keeps that of one that lasts, and not those of its own kind.
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

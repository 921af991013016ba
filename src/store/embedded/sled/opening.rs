//! Protects a store against a power loss while sled opens it.
//!
//! sled renames a new snapshot into place and then clears segments that only the old snapshot needs, without a sync
//! of its folder between the two. A power loss that keeps the second and not the first would leave a store that
//! comes back empty. Where the file system cannot be told to keep the two in order, a copy of the files that sled
//! can destroy lies beside the store meanwhile:
//!
//! | there is | a crash left it | at the next open |
//! | --- | --- | --- |
//! | `store`, `store.opening.unfinished` | while the copy was made, or removed | `store.opening.unfinished` is removed |
//! | `store`, `store.opening` | while sled opened `store`, or it was put back | the files of `store.opening` replace those of `store`; it stays until sled is open |
//!
//! Before that, an interrupted replacement is completed (replace.rs). A store that is replaced was open, and an
//! open store has no copy any longer, so a copy always belongs to the present `store`. No change is acknowledged
//! before the copy is gone for good, so putting it back loses none.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FsWord, IFlags, fstatfs, ioctl_getflags, ioctl_setflags};

use super::copy::{copy_files, files};
use super::folder::{sync_files, sync_folder};

const STORE: &str = "store";
const OPENING: &str = "store.opening";
const UNFINISHED: &str = "store.opening.unfinished";

/// File systems by what statfs(2) calls them: ext3 and ext4, those where copies share their blocks, and those of which a
/// power loss leaves nothing.
const EXT: FsWord = 0xEF53;
const XFS: FsWord = 0x5846_5342;
const BTRFS: FsWord = 0x9123_683E;
const TMPFS: FsWord = 0x0102_1994;
const RAMFS: FsWord = 0x8584_58f6_u32 as FsWord;

/// Whether a power loss while sled opens this folder could destroy its content. On ext3 and ext4 it cannot, once
/// the folder has the flag that makes each name durable as soon as it exists. XFS refuses the flag; btrfs and an
/// overlay take it, show it, and do nothing.
pub(super) fn is_risky(store: &Path) -> io::Result<bool> {
    let store = File::open(store)?;
    Ok(match fstatfs(&store)?.f_type {
        TMPFS | RAMFS => false,
        EXT => !orders_names(&store),
        _ => true,
    })
}

/// The room that an opening needs beside sled's own: that of the copy, where blocks cannot be shared.
pub(super) fn room_for_copy(store: &Path) -> io::Result<u64> {
    if !store.exists() {
        return Ok(0);
    }
    let shares = matches!(fstatfs(&File::open(store)?)?.f_type, XFS | BTRFS);
    if shares || !is_risky(store)? {
        return Ok(0);
    }
    let taken = files(store)?.into_iter().map(|(_, file)| fs::metadata(file).map(|file| file.blocks() * 512));
    taken.sum()
}

fn orders_names(folder: &File) -> bool {
    let told = ioctl_getflags(folder)
        .and_then(|flags| ioctl_setflags(folder, flags | IFlags::DIRSYNC))
        .and_then(|()| ioctl_getflags(folder));
    told.is_ok_and(|flags| flags.contains(IFlags::DIRSYNC))
}

/// Undoes an opening that a crash interrupted.
pub(super) fn undo_interrupted(data: &Path) -> io::Result<()> {
    let (opening, unfinished) = (data.join(OPENING), data.join(UNFINISHED));
    if opening.exists() || unfinished.exists() {
        // Which of the two the folder is must be durable, so that it is never read half-written under the other's
        // name.
        sync_folder(data)?;
    }
    if opening.exists() {
        put_back(&opening, &data.join(STORE))?;
        tracing::warn!(folder = %data.display(), "the last opening was interrupted and starts again");
    }
    if unfinished.exists() {
        fs::remove_dir_all(unfinished)?;
    }
    Ok(())
}

/// Copies the files that sled can destroy, unless a copy is there that was put back.
pub(super) fn begin(data: &Path) -> io::Result<()> {
    let (store, opening, unfinished) = (data.join(STORE), data.join(OPENING), data.join(UNFINISHED));
    if opening.exists() || !store.join("db").exists() {
        return Ok(());
    }
    let copied = copy(&store, &unfinished)
        .and_then(|()| fs::rename(&unfinished, &opening))
        .and_then(|()| sync_folder(data));
    copied.inspect_err(|_| {
        // The rest is removed, or put back, at the next opening: the store is as it is in the copy.
        let _ = end(data).and_then(|()| fs::remove_dir_all(&unfinished));
    })
}

/// Removes the copy, once sled's changes to the store are durable. From here on the store can be written to.
pub(super) fn end(data: &Path) -> io::Result<()> {
    let (opening, unfinished) = (data.join(OPENING), data.join(UNFINISHED));
    if !opening.exists() {
        return Ok(());
    }
    // At once and for good: a copy that remains, whole or not, would be put back over later writes.
    fs::rename(&opening, &unfinished)?;
    sync_folder(data)?;
    if let Err(error) = fs::remove_dir_all(&unfinished) {
        tracing::warn!(%error, "the copy that was kept for the opening is removed at the next start");
    }
    Ok(())
}

/// Puts the store back to its state before an opening that failed.
pub(super) fn undo(data: &Path) -> io::Result<()> {
    let (store, opening) = (data.join(STORE), data.join(OPENING));
    if !opening.exists() {
        return Ok(());
    }
    if is_in_use(&store) {
        // The process that has it open may write to it, so the store stays as it is, with sled's changes so far.
        sync_files(&store)?;
    } else {
        put_back(&opening, &store)?;
    }
    end(data)
}

/// Whether a process has the store open: sled holds a lock on its file.
pub(super) fn is_in_use(store: &Path) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(store.join("db"));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Puts the files of a copy in the place of those in the store. A crash in between leaves the copy, and the next
/// opening starts this again.
fn put_back(opening: &Path, store: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(store)?;
    // First, since there may not be room for both.
    for (_, file) in files(store)? {
        fs::remove_file(file)?;
    }
    copy_files(opening, store)
}

fn copy(store: &Path, unfinished: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(unfinished)?;
    copy_files(store, unfinished)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Revision;
    use crate::store::embedded::committer::Engine;
    use crate::store::embedded::sled::SledEngine;
    use crate::store::{Change, Key};

    /// A folder with a store that holds something.
    fn filled() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        let (engine, _) = SledEngine::open(&data.path().to_owned()).unwrap();
        let put = vec![(Key::from_bytes(b"k"), b"kept".to_vec())];
        engine.apply(&[Change { revision: Revision(1), put, delete: vec![] }]).unwrap();
        engine.sync().unwrap();
        data
    }

    fn assert_whole((engine, revision): (SledEngine, Revision), data: &Path) {
        assert_eq!(revision, Revision(1));
        assert_eq!(engine.read(&Key::from_bytes(b"k")).unwrap().unwrap().value, b"kept");
        assert_eq!(names(data), ["store", "store.marker"]);
    }

    fn names(folder: &Path) -> Vec<String> {
        let found = fs::read_dir(folder).unwrap().map(|found| found.unwrap().file_name());
        let mut names: Vec<_> = found.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The worst that a power loss makes of a store: it comes back empty.
    fn destroy(data: &Path) {
        for (name, file) in files(&data.join(STORE)).unwrap() {
            match name.as_str() {
                "db" => fs::write(file, vec![0; 1 << 20]).unwrap(),
                "conf" => {}
                _ => fs::remove_file(file).unwrap(),
            }
        }
    }

    #[test]
    fn whatever_a_crash_leaves_of_an_opening_the_store_is_whole() {
        type Crash = fn(&Path);
        let crashes: [(&str, Crash); 7] = [
            ("before the copy", |_| {}),
            ("while it was made", |data| {
                fs::create_dir(data.join(UNFINISHED)).unwrap();
                fs::write(data.join(UNFINISHED).join("db"), "half").unwrap();
            }),
            ("once it was there", |data| begin(data).unwrap()),
            ("while sled opened the store", |data| {
                begin(data).unwrap();
                destroy(data);
                fs::write(data.join("store/snap.00000000000000FF.generating"), "half").unwrap();
            }),
            ("while it was put back", |data| {
                begin(data).unwrap();
                fs::write(data.join("store/db"), "half").unwrap();
                fs::remove_file(data.join("store/conf")).unwrap();
            }),
            ("after it was put back", |data| {
                begin(data).unwrap();
                destroy(data);
                undo_interrupted(data).unwrap();
                assert!(data.join(OPENING).exists(), "sled has yet to open what was put back");
                destroy(data);
            }),
            ("while it was removed", |data| {
                begin(data).unwrap();
                fs::rename(data.join(OPENING), data.join(UNFINISHED)).unwrap();
                fs::remove_file(data.join(UNFINISHED).join("db")).unwrap();
            }),
        ];
        for (when, crash) in crashes {
            for open in [SledEngine::open, SledEngine::recover] {
                let data = filled();
                crash(data.path());
                let opened = open(&data.path().to_owned()).unwrap_or_else(|why| panic!("{when}: {why}"));
                assert_whole(opened, data.path());
            }
        }
    }

    #[test]
    fn a_copy_comes_back_into_the_store_that_replaced_another() {
        let data = filled();
        begin(data.path()).unwrap();
        destroy(data.path());
        fs::create_dir(data.path().join("store.replaced")).unwrap();
        assert_whole(SledEngine::open(&data.path().to_owned()).unwrap(), data.path());
    }

    #[test]
    fn an_opening_that_fails_leaves_the_store_as_it_was() {
        let data = filled();
        destroy(data.path());
        begin(data.path()).unwrap();
        let before = fs::read(data.path().join("store/db")).unwrap();
        for _ in 0..2 {
            let refused = SledEngine::open(&data.path().to_owned()).err().unwrap().to_string();
            assert!(refused.contains("came back empty"), "{refused}");
            assert!(fs::read(data.path().join("store/db")).unwrap() == before);
            assert_eq!(names(data.path()), ["store", "store.marker"]);
            begin(data.path()).unwrap();
        }
    }

    #[test]
    fn a_store_in_use_is_neither_copied_nor_put_back() {
        let data = filled();
        begin(data.path()).unwrap();
        let old = data.path().join("old");
        fs::rename(data.path().join(OPENING), &old).unwrap();
        let opened = SledEngine::open(&data.path().to_owned()).unwrap();
        fs::rename(&old, data.path().join(OPENING)).unwrap();
        let inode = || fs::metadata(data.path().join("store/db")).unwrap().ino();
        let before = inode();
        let refused = SledEngine::open(&data.path().to_owned()).err().unwrap().to_string();
        assert!(refused.contains("in use"), "{refused}");
        undo(data.path()).unwrap();
        assert_eq!(inode(), before);
        assert_whole(opened, data.path());
    }
}

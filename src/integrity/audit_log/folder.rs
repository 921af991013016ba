//! The files of a log in its folder:
//!
//! | file | content |
//! | --- | --- |
//! | `N.jsonl` | the records from number N on, one a line, until the next file begins. N has 20 digits |
//! | `N.checkpoint` | the signed checkpoint of the first N records, where a file ends. It stays when the file is removed |
//! | `checkpoint` | the newest signed checkpoint that was written |
//! | `hashes-0` | the hash of every record, 32 bytes each, also of those whose files were removed |
//! | `hashes-1` … | the roots of the subtrees of 256, 65536, … records |
//! | `log.pub` | the public key that verifies the checkpoints |
//! | `log.key` | the private key that signs them |

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::tree::{Hash, Subtrees};
use crate::crypto::write_private;

/// The level of the subtrees of one file of hashes lies this far above that of the next lower file.
const STEP: u32 = 8;
/// The number of files of hashes.
const HASH_FILES: u32 = 5;
const HASH: u64 = 32;

/// The folder of a log.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// The files of records and of checkpoints in a folder, by their numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) records: BTreeSet<u64>,
    pub(super) checkpoints: BTreeSet<u64>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder for its owner alone, where it is missing.
    pub(super) fn make(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => match self.0.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
                _ => Ok(()),
            },
        }
    }

    pub(super) fn records(&self, first: u64) -> PathBuf {
        self.0.join(format!("{first:020}.jsonl"))
    }

    pub(super) fn checkpoint_at(&self, size: u64) -> PathBuf {
        self.0.join(format!("{size:020}.checkpoint"))
    }

    pub(super) fn newest_checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    pub(super) fn private_key(&self) -> PathBuf {
        self.0.join("log.key")
    }

    pub(super) fn public_key(&self) -> PathBuf {
        self.0.join("log.pub")
    }

    fn hashes(&self, number: u32) -> PathBuf {
        self.0.join(format!("hashes-{number}"))
    }

    /// The numbered files.
    pub(super) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let Some((number, kind)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            let Some(number) = Some(number).filter(|number| number.len() == 20).and_then(|n| n.parse().ok())
            else {
                continue;
            };
            match kind {
                "jsonl" => drop(listing.records.insert(number)),
                "checkpoint" => drop(listing.checkpoints.insert(number)),
                _ => {}
            }
        }
        Ok(listing)
    }

    /// The content of a small text file; `None` where there is no such file.
    pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a small file, durably, and whole or not at all.
    pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
        write_private(path, text.as_bytes(), false)
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// Opens a file of records to be written at its end. With `new`, it must not exist yet.
pub(super) fn open_records(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(new).mode(0o600).open(path)
}

/// Takes room on the disk behind the end of a file, so that a disk that becomes full later still takes some records. Without such
/// room, or on a file system that cannot give it, records are written for as long as they can be.
pub(super) fn reserve(file: &File, length: u64, room: u64) {
    let _ = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, length, room);
}

/// The files of hashes.
pub(super) struct Hashes(Vec<File>);

/// The hashes that a group of records adds to each file.
#[derive(Default)]
pub(super) struct NewHashes([Vec<u8>; HASH_FILES as usize]);

impl NewHashes {
    /// Adds the root of a subtree, where its level has a file.
    pub(super) fn add(&mut self, level: u32, root: &Hash) {
        if level.is_multiple_of(STEP)
            && let Some(hashes) = usize::try_from(level / STEP).ok().and_then(|file| self.0.get_mut(file))
        {
            hashes.extend_from_slice(root);
        }
    }
}

impl Hashes {
    /// Opens the files, and with `write` makes those that are missing.
    pub(super) fn open(folder: &Folder, write: bool) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(write).create(write).truncate(false).mode(0o600);
        (0..HASH_FILES).map(|number| options.open(folder.hashes(number))).collect::<Result<_, _>>().map(Self)
    }

    /// Leaves the hashes of the first `size` records, and no others. Fails where there are fewer.
    pub(super) fn cut(&self, size: u64) -> io::Result<()> {
        for (file, length) in self.0.iter().zip(lengths(size)) {
            if file.metadata()?.len() < length {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "hashes are missing"));
            }
            file.set_len(length)?;
        }
        Ok(())
    }

    /// Writes the hashes of records that come after the first `size` ones.
    pub(super) fn append(&self, size: u64, new: &NewHashes) -> io::Result<()> {
        for ((file, hashes), length) in self.0.iter().zip(&new.0).zip(lengths(size)) {
            file.write_all_at(hashes, length)?;
        }
        Ok(())
    }

    /// Takes room for the hashes of as many records as have room. See [`reserve`].
    pub(super) fn reserve(&self, size: u64, records: u64) {
        for ((file, length), further) in self.0.iter().zip(lengths(size)).zip(lengths(size + records)) {
            reserve(file, length, further - length + HASH);
        }
    }

    /// Makes them durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.iter().try_for_each(File::sync_data)
    }

    /// The hash of a record.
    pub(super) fn leaf(&self, index: u64) -> io::Result<Hash> {
        self.root(0, index)
    }
}

/// How long each file of hashes is for a tree of this size, in bytes.
fn lengths(size: u64) -> impl Iterator<Item = u64> {
    (0..HASH_FILES).map(move |file| (size >> (STEP * file)) * HASH)
}

impl Subtrees for Hashes {
    fn root(&self, level: u32, number: u64) -> io::Result<Hash> {
        // The subtree is made from those of the next lower file: at most 2^7, or more above the highest file.
        let file_number = (level / STEP).min(HASH_FILES - 1);
        let above = level - file_number * STEP;
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let file = usize::try_from(file_number).ok().and_then(|file| self.0.get(file)).ok_or_else(missing)?;
        let (count, begin) = (1_u64.checked_shl(above), number.checked_mul(1 << above));
        let (count, begin) = count.zip(begin).ok_or_else(missing)?;
        let mut bytes = vec![0; usize::try_from(count * HASH).map_err(|_| missing())?];
        file.read_exact_at(&mut bytes, begin.checked_mul(HASH).ok_or_else(missing)?)?;
        let mut tree = super::tree::GrowingTree::default();
        for hash in bytes.as_chunks::<32>().0 {
            tree.push(*hash, |_, _| ());
        }
        Ok(tree.head().root)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{GrowingTree, leaf_hash, root_at};
    use super::*;

    #[test]
    fn the_files_of_hashes_give_the_roots_of_all_trees() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::new(folder.path().to_owned());
        let hashes = Hashes::open(&folder, true).unwrap();
        let (mut tree, mut heads) = (GrowingTree::default(), vec![GrowingTree::default().head()]);
        let mut size = 0;
        for group in [1, 2, 255, 256, 1000, 67_000] {
            let mut new = NewHashes::default();
            for _ in 0..group {
                let leaf = leaf_hash(&tree.size().to_be_bytes());
                tree.push(leaf, |level, root| new.add(level, root));
                heads.push(tree.head());
            }
            hashes.append(size, &new).unwrap();
            size += group;
        }
        for head in heads.iter().take(600).chain(heads.iter().rev().take(3)) {
            assert_eq!(root_at(&hashes, head.size).unwrap(), head.root, "{}", head.size);
        }
        hashes.cut(300).unwrap();
        assert!(root_at(&hashes, 301).is_err() && hashes.cut(301).is_err());
        assert_eq!(GrowingTree::read(&hashes, 300).unwrap().head(), heads[300]);
    }

    #[test]
    fn only_files_with_whole_numbers_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let listed = Folder::new(folder.path().to_owned());
        for name in [
            "00000000000000000007.jsonl",
            "7.jsonl",
            "00000000000000000009.checkpoint",
            "checkpoint",
            "x.jsonl",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(listed.list().unwrap(), Listing { records: [7].into(), checkpoints: [9].into() });
    }
}

//! The files that commands read and write. A written file is private to its owner, and either complete or absent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::failure::Failure;
use super::output;

/// The largest file that is read, in bytes: more than any document has.
const MAX: u64 = 64 << 20;

/// Whether a file's name means standard input or standard output: `-`.
pub(super) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Refuses to write bytes that are not text to a terminal: they could control it.
pub(super) fn refuse_terminal(what: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage(format!(
            "{what}, which is not written to a terminal: write it to a file, such as with > FILE"
        )));
    }
    Ok(())
}

/// Reads the text of a file; `-` is standard input.
pub(super) fn read_text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |error| Failure::usage(format!("{} cannot be read: {error}", name(path)));
    let mut bytes = Zeroizing::new(Vec::new());
    if is_standard(path) {
        io::stdin().lock().take(MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        File::open(path).and_then(|file| file.take(MAX + 1).read_to_end(&mut bytes)).map_err(failed)?;
    }
    if bytes.len() as u64 > MAX {
        return Err(Failure::usage(format!("{} is larger than 64 MiB", name(path))));
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        drop(Zeroizing::new(error.into_bytes()));
        Failure::usage(format!("{} is not text in UTF-8: byte {at} is not", name(path)))
    })
}

/// Opens a file to read it; `-` is standard input.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if is_standard(path) { Ok(Box::new(io::stdin())) } else { Ok(Box::new(File::open(path)?)) }
}

/// Opens a file so that it can be read twice. Standard input and pipes are copied into a file without a name, which is gone when
/// it is closed.
pub(super) fn open_to_read_twice(path: &Path) -> io::Result<File> {
    if !is_standard(path) {
        let file = File::open(path)?;
        if file.metadata()?.is_file() {
            return Ok(file);
        }
    }
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut open(path)?, &mut copy)?;
    copy.rewind()?;
    Ok(copy)
}

/// The name of a file in messages.
pub(super) fn name(path: &Path) -> String {
    if is_standard(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Writes a file that only its owner can read, and replaces an existing one: completely, or not at all. `-` is standard output.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    if is_standard(path) {
        return output::write(content);
    }
    let mut file = NewFile::create(path)?;
    file.write(content)?;
    file.keep()
}

/// A file that is being written, which only its owner can read. It has a temporary name until [`keep`](Self::keep) gives it
/// its own name and so replaces an existing file. If it is dropped before, it is removed.
pub(super) struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
}

impl NewFile {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        // Renaming would replace a link, a pipe or /dev/stdout itself.
        if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(Failure::usage(format!("{} exists and is not a regular file", path.display())));
        }
        let Some(file_name) = path.file_name() else {
            return Err(Failure::usage(format!("{} is not the name of a file", path.display())));
        };
        // A random name, which nobody can have prepared and no other process uses.
        let name = format!(".{}.{}.unfinished", file_name.to_string_lossy(), uuid::Uuid::new_v4());
        let unfinished = folder_of(path).join(name);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished);
        let file = opened.map_err(|error| unwritable(path, &error))?;
        Ok(Self { path: path.to_owned(), unfinished, file })
    }

    pub(super) fn write(&mut self, content: &[u8]) -> Result<(), Failure> {
        self.file.write_all(content).map_err(|error| unwritable(&self.path, &error))
    }

    /// Gives the file its name, durably.
    pub(super) fn keep(self) -> Result<(), Failure> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.unfinished, &self.path));
        kept.and_then(|()| File::open(folder_of(&self.path))?.sync_all())
            .map_err(|error| unwritable(&self.path, &error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // A kept file no longer has this name.
        let _ = fs::remove_file(&self.unfinished);
    }
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("{} cannot be written: {error}", path.display()))
}

/// Whether two names mean the same existing file.
pub(super) fn same(a: &Path, b: &Path) -> bool {
    fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn replaces_a_file_by_a_private_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(replace(&path, b"new").is_ok());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn leaves_links_and_folders_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        fs::write(&target, "old").unwrap();
        symlink(&target, &link).unwrap();
        assert!(replace(&link, b"new").is_err() && replace(folder.path(), b"new").is_err());
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert!(same(&link, &target) && !same(&link, &folder.path().join("missing")));
    }
}

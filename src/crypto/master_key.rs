use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use super::aead::{Error, KeyBytes};
use super::envelope::SealingKey;

/// The key above all others: 256 bits that are never in the store.
///
/// In its file it is one line: `srmk_` and 43 characters of base64url. Only the file's owner may have access to it.
pub struct MasterKey(KeyBytes);

/// Why there is no master key. Says which file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file can not be read or written.
    #[error("the master key file {} can not be used: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// Others than the owner may read or write the file.
    #[error(
        "the master key file {} is open to others (mode {:04o}); make it yours alone: chmod 600 {}",
        .0.display(), .1, .0.display()
    )]
    Permissions(PathBuf, u32),
    /// The file holds something else.
    #[error("{} does not hold a master key: one line, srmk_ and 43 characters of base64url, is expected", .0.display())]
    Malformed(PathBuf),
    /// The operating system gave no random numbers.
    #[error(transparent)]
    Crypto(#[from] Error),
}

impl MasterKey {
    const PREFIX: &str = "srmk_";

    /// A new key.
    pub fn generate() -> Result<Self, Error> {
        KeyBytes::generate().map(Self)
    }

    /// The key in a file.
    pub fn read(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |error| MasterKeyError::File(path.to_owned(), error);
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Permissions(path.to_owned(), mode));
        }
        let line = Zeroizing::new(fs::read(path).map_err(failed)?);
        Self::parse(&line).ok_or_else(|| MasterKeyError::Malformed(path.to_owned()))
    }

    /// Writes the key to a file that is not there yet, for the owner alone, and makes it durable.
    pub fn write_new(&self, path: &Path) -> Result<(), MasterKeyError> {
        let encoded = Zeroizing::new(BASE64URL_NOPAD.encode(self.0.expose()));
        let line = Zeroizing::new(format!("{}{}\n", Self::PREFIX, *encoded));
        write_private(path, line.as_bytes(), true)
            .map_err(|error| MasterKeyError::File(path.to_owned(), error))
    }

    pub(super) fn sealing_key(&self) -> Result<SealingKey, Error> {
        SealingKey::new(0, &self.0)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let encoded = line.trim_ascii().strip_prefix(Self::PREFIX.as_bytes())?;
        let key = Zeroizing::new(BASE64URL_NOPAD.decode(encoded).ok()?);
        KeyBytes::from_slice(&key).map(Self)
    }
}

/// Writes a file that only its owner can read, durably, and whole or not at all. With `new`, a file that is there already
/// is an error and stays; without, it is replaced.
pub fn write_private(path: &Path, content: &[u8], new: bool) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    // What is there is of an earlier attempt, or was put there by somebody else: its owner and its links are not ours.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    if new {
        let linked = fs::hard_link(&unfinished, path);
        fs::remove_file(&unfinished)?;
        linked?;
    } else {
        fs::rename(&unfinished, path)?;
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_key_is_read_back_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let key = MasterKey::generate().unwrap();
        key.write_new(&path).unwrap();
        assert_eq!(MasterKey::read(&path).unwrap().0.expose(), key.0.expose());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(MasterKey::generate().unwrap().write_new(&path), Err(MasterKeyError::File(..))));
    }

    #[test]
    fn a_key_open_to_others_is_refused_and_so_is_another_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::generate().unwrap().write_new(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::Permissions(_, 0o640))));
        fs::remove_file(&path).unwrap();
        write_private(&path, b"hello\n", true).unwrap();
        assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::Malformed(_))));
    }
}

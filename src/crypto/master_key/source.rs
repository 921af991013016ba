use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::MasterKeys;
use super::command::output_of;
use super::error::MasterKeyError;
use super::key::MasterKey;
use crate::config::MasterKeySource;
use crate::crypto::private_file::{open_to_others, write_private};

/// More than a thousand keys.
const MAX: usize = 64 * 1024;
/// The shortest passphrase that is accepted, in bytes.
const MIN_PASSPHRASE: usize = 12;

impl MasterKeys {
    /// Reads the keys of a source: the first line is the key in use, further lines are earlier keys. In a list of
    /// keys, empty lines and lines that begin with `#` are skipped.
    ///
    /// Reads files and runs commands, for up to 30 seconds: not for a thread that serves others.
    pub fn read(source: &MasterKeySource) -> Result<Self, MasterKeyError> {
        Self::parse(source, &content(source)?)
    }

    pub(in crate::crypto) fn parse(source: &MasterKeySource, content: &[u8]) -> Result<Self, MasterKeyError> {
        let passphrases = matches!(source, MasterKeySource::PassphraseFile(_));
        let mut keys = Vec::new();
        for (at, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let comment = !passphrases && line.trim_ascii_start().starts_with(b"#");
            if comment || line.trim_ascii().is_empty() {
                continue;
            }
            keys.push(if passphrases {
                if line.len() < MIN_PASSPHRASE {
                    return Err(MasterKeyError::ShortPassphrase(source.clone(), at + 1));
                }
                MasterKey::from_passphrase(line)
            } else {
                let malformed = || MasterKeyError::Malformed(source.clone(), at + 1);
                MasterKey::parse(line)?.ok_or_else(malformed)?
            });
        }
        let mut keys = keys.into_iter();
        let current = keys.next().ok_or_else(|| MasterKeyError::Empty(source.clone()))?;
        Ok(Self { current, earlier: keys.collect() })
    }
}

impl MasterKeySource {
    /// Puts a new key into use, on a line before the present ones, and returns all of them. The server can do this
    /// only with a key file that it can write to; the error of every other source says how a person does it.
    ///
    /// The file is replaced whole and durably before this returns.
    pub fn renew(&self) -> Result<MasterKeys, MasterKeyError> {
        let named = match self {
            Self::DataDir(path) | Self::File(path) | Self::Variable(path) => path,
            Self::Credential(..) | Self::Command(_) | Self::PassphraseFile(_) => {
                return Err(MasterKeyError::NotRenewable(self.clone()));
            }
        };
        let old = content(self)?;
        MasterKeys::parse(self, &old)?;
        let line = MasterKey::generate()?.line().ok_or(crate::crypto::Error::Failed)?;
        let mut new = Zeroizing::new(Vec::with_capacity(line.len() + old.len()));
        new.extend_from_slice(line.as_bytes());
        new.extend_from_slice(&old);
        if new.len() > MAX {
            return Err(MasterKeyError::TooLong(self.clone()));
        }
        let unwritable = |error| MasterKeyError::Unwritable { source_of: self.clone(), error };
        // The file that a link names is replaced, and the link stays.
        let path = fs::canonicalize(named).map_err(unwritable)?;
        write_private(&path, &new, false).map_err(unwritable)?;
        MasterKeys::parse(self, &new)
    }
}

impl MasterKey {
    /// Writes the key to a new file, for the owner alone, and makes it durable.
    pub fn write_new(&self, path: &Path) -> Result<(), MasterKeyError> {
        let line = self.line().ok_or(crate::crypto::Error::Failed)?;
        write_private(path, line.as_bytes(), true)
            .map_err(|error| MasterKeyError::File(path.to_owned(), error))
    }
}

fn content(source: &MasterKeySource) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
    let content = match source {
        MasterKeySource::Command(command) => output_of(command, MAX + 1)?,
        MasterKeySource::DataDir(path)
        | MasterKeySource::File(path)
        | MasterKeySource::Variable(path)
        | MasterKeySource::Credential(_, path)
        | MasterKeySource::PassphraseFile(path) => private_content(source, path)?,
    };
    if content.len() > MAX { Err(MasterKeyError::TooLong(source.clone())) } else { Ok(content) }
}

/// Reads a file that nobody else can read or change. Links are followed, and their target is checked.
fn private_content(source: &MasterKeySource, path: &Path) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
    let failed = |error| MasterKeyError::File(path.to_owned(), error);
    let file = open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MasterKeyError::Missing(source.clone()),
        _ => failed(error),
    })?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(MasterKeyError::NotAFile(source.clone()));
    }
    let mode = about.permissions().mode() & 0o7777;
    let user = rustix::process::geteuid().as_raw();
    if open_to_others(mode, about.uid(), user) {
        return Err(MasterKeyError::Permissions(path.to_owned(), mode));
    }
    if !trusted(about.uid(), user) {
        return Err(MasterKeyError::Owner(path.to_owned(), about.uid(), user));
    }
    // Allocated whole: a buffer that grows leaves copies of the key behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX + 2));
    file.take(MAX as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

fn open(path: &Path) -> io::Result<File> {
    // A pipe is refused without waiting for it.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Whether a file of that owner is as safe as the server itself.
fn trusted(owner: u32, user: u32) -> bool {
    owner == user || owner == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, content: impl AsRef<[u8]>) -> MasterKeySource {
            let path = self.path("master.key");
            let _ = fs::remove_file(&path);
            write_private(&path, content.as_ref(), true).unwrap();
            MasterKeySource::File(path)
        }
    }

    fn line() -> String {
        MasterKey::generate().unwrap().line().unwrap().to_string()
    }

    fn ids(keys: &MasterKeys) -> Vec<super::super::KeyId> {
        keys.all().map(|key| key.root().unwrap().1.id()).collect()
    }

    #[test]
    fn a_written_key_is_read_back_and_never_overwritten() {
        let folder = Folder::new();
        let path = folder.path("master.key");
        let key = MasterKey::generate().unwrap();
        key.write_new(&path).unwrap();
        let read = MasterKeys::read(&MasterKeySource::DataDir(path.clone())).unwrap();
        assert_eq!(read.current_id().unwrap(), key.root().unwrap().1.id());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(MasterKey::generate().unwrap().write_new(&path), Err(MasterKeyError::File(..))));
    }

    #[test]
    fn the_first_line_is_in_use_and_further_ones_are_earlier() {
        let folder = Folder::new();
        let (new, old) = (line(), line());
        let keys = MasterKeys::read(&folder.file(format!("{new}{old}"))).unwrap();
        assert_eq!(ids(&keys), ids(&MasterKeys::of(&[&new, &old])));
        assert_eq!(keys.earlier(), 1);
        let spaced = format!("# of 2026\r\n\n  {}\r\n \n#\n{}", new.trim(), old.trim());
        assert_eq!(ids(&MasterKeys::read(&folder.file(spaced)).unwrap()), ids(&keys));
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_by_its_line() {
        let folder = Folder::new();
        let key = line();
        for (content, at) in [
            ("hello\n".to_owned(), 1),
            (format!("{key}hello\n"), 2),
            (format!("{}{key}", key.trim()), 1),
            ("\u{ff}".repeat(40), 1),
        ] {
            let refused = MasterKeys::read(&folder.file(&content)).err().unwrap();
            assert!(matches!(refused, MasterKeyError::Malformed(_, line) if line == at), "{refused}");
            assert!(!refused.to_string().contains(content.trim()), "{refused}");
        }
        for empty in ["", "\n\n", "# only that\n"] {
            assert!(matches!(MasterKeys::read(&folder.file(empty)), Err(MasterKeyError::Empty(_))));
        }
        let long = key.repeat(MAX / key.len() + 1);
        assert!(matches!(MasterKeys::read(&folder.file(long)), Err(MasterKeyError::TooLong(_))));
    }

    #[test]
    fn a_file_that_is_open_to_others_missing_or_no_file_is_refused() {
        let folder = Folder::new();
        let source = folder.file(line());
        let path = folder.path("master.key");
        let link = folder.path("link");
        symlink(&path, &link).unwrap();
        assert!(MasterKeys::read(&MasterKeySource::File(link.clone())).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(MasterKeys::read(&source).is_ok());
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            for source in [&source, &MasterKeySource::PassphraseFile(link.clone())] {
                let refused = MasterKeys::read(source);
                assert!(matches!(refused, Err(MasterKeyError::Permissions(_, of)) if of == mode));
            }
        }
        let at = |name| MasterKeys::read(&MasterKeySource::File(folder.path(name)));
        assert!(matches!(at("missing"), Err(MasterKeyError::Missing(_))));
        assert!(matches!(at(""), Err(MasterKeyError::NotAFile(_))));
        let pipe = std::process::Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap();
        assert!(pipe.success());
        assert!(matches!(at("pipe"), Err(MasterKeyError::NotAFile(_))));
    }

    #[test]
    fn only_the_servers_user_and_root_are_trusted_with_the_file() {
        assert!(trusted(1000, 1000) && trusted(0, 1000) && trusted(0, 0));
        assert!(!trusted(1001, 1000) && !trusted(1000, 0));
        let folder = Folder::new();
        let source = folder.file(line());
        // Only root can give a file away.
        if std::os::unix::fs::chown(folder.path("master.key"), Some(12345), None).is_ok() {
            assert!(matches!(MasterKeys::read(&source), Err(MasterKeyError::Owner(_, 12345, _))));
        }
    }

    #[test]
    fn passphrases_are_lines_and_not_too_short() {
        let folder = Folder::new();
        let passphrase = |content: &str| {
            let MasterKeySource::File(path) = folder.file(content) else { unreachable!() };
            MasterKeys::read(&MasterKeySource::PassphraseFile(path))
        };
        assert_eq!(passphrase("correct horse\n\n# battery staple \r\n").unwrap().earlier(), 1);
        assert!(matches!(passphrase("correct horse\nbattery"), Err(MasterKeyError::ShortPassphrase(_, 2))));
        assert!(matches!(passphrase("   \n"), Err(MasterKeyError::Empty(_))));
    }

    #[test]
    fn a_command_gives_keys_as_a_file_does() {
        let (new, old) = (line(), line());
        let command = |command: String| MasterKeys::read(&MasterKeySource::Command(command));
        let keys = command(format!("printf '%s' '{new}{old}'")).unwrap();
        assert_eq!(ids(&keys), ids(&MasterKeys::of(&[&new, &old])));
        assert!(matches!(command("true".into()), Err(MasterKeyError::Empty(_))));
        assert!(matches!(command("echo no".into()), Err(MasterKeyError::Malformed(_, 1))));
        assert!(matches!(command("exec yes".into()), Err(MasterKeyError::TooLong(_))));
        assert!(matches!(command("false".into()), Err(MasterKeyError::Command(_))));
    }

    #[test]
    fn a_renewed_file_has_the_new_key_first_and_the_old_ones_behind() {
        let folder = Folder::new();
        let old = format!("# ours\n{}", line().trim());
        let source = folder.file(&old);
        let link = folder.path("link");
        symlink(folder.path("master.key"), &link).unwrap();
        let before = MasterKeys::read(&source).unwrap();
        let renewed = MasterKeySource::Variable(link.clone()).renew().unwrap();
        assert_eq!(renewed.earlier(), 1);
        assert_ne!(ids(&renewed)[0], ids(&before)[0]);
        assert_eq!(ids(&renewed)[1], ids(&before)[0]);
        assert_eq!(ids(&MasterKeys::read(&source).unwrap()), ids(&renewed));
        assert_eq!(ids(&source.renew().unwrap())[1..], ids(&renewed));
        assert!(fs::read_to_string(folder.path("master.key")).unwrap().ends_with(&old));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&link).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_the_server_can_not_write_is_renewed_by_a_person() {
        let folder = Folder::new();
        let MasterKeySource::File(path) = folder.file(line()) else { unreachable!() };
        let before = fs::read(&path).unwrap();
        for source in [
            MasterKeySource::Credential("c".into(), path.clone()),
            MasterKeySource::Command(format!("cat {}", path.display())),
            MasterKeySource::PassphraseFile(path.clone()),
        ] {
            assert!(matches!(source.renew(), Err(MasterKeyError::NotRenewable(_))));
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(matches!(
            MasterKeySource::File(folder.path("missing")).renew(),
            Err(MasterKeyError::Missing(_))
        ));
    }
}

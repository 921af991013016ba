use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Writes a file for its owner alone, durably, and whole or not at all. With `new`, a file that exists already is
/// an error and stays; without, it is replaced.
pub fn write_private(path: &Path, content: &[u8], new: bool) -> io::Result<()> {
    let unfinished = unfinished(path);
    // A file at this path comes from an earlier attempt, or from somebody else: its owner and its links may be
    // wrong.
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

/// Whether others than this user and root may read or write a file of that mode and owner. Root may let a group read its file:
/// in this way Kubernetes and systemd hand a file to a service that is not root. PostgreSQL has the same rule for its key.
pub fn open_to_others(mode: u32, owner: u32, user: u32) -> bool {
    let allowed = if owner == 0 && user != 0 { 0o040 } else { 0 };
    mode & 0o077 & !allowed != 0
}

/// The path of a file before it gets its name: with `.unfinished` after it.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_differ_in_their_extension_alone_do_not_meet_on_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("anchor.a"), folder.path().join("anchor.b"));
        // A file that another writer is writing at this moment stays.
        fs::write(unfinished(&b), "b").unwrap();
        write_private(&a, b"a", false).unwrap();
        assert_eq!(fs::read(unfinished(&b)).unwrap(), b"b");
        assert_eq!((fs::read(&a).unwrap().as_slice(), unfinished(&a).exists()), (&b"a"[..], false));
    }

    #[test]
    fn a_group_may_only_read_a_file_that_root_hands_to_another_user() {
        for mode in [0o400, 0o600, 0o440, 0o640] {
            assert!(!open_to_others(mode, 0, 1000), "{mode:o}");
        }
        for mode in [0o460, 0o620, 0o644, 0o641, 0o604] {
            assert!(open_to_others(mode, 0, 1000), "{mode:o}");
        }
        for (owner, user) in [(1000, 1000), (0, 0), (1001, 1000)] {
            assert!(open_to_others(0o440, owner, user) && !open_to_others(0o400, owner, user));
        }
    }
}

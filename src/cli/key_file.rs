//! A note on standard error where the file of an API key is open to others.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::failure::note;
use crate::crypto::open_to_others;

/// What is handed to this process: open files, and the folders into which container runtimes put secrets, with modes that nobody inside
/// can change.
const HANDED_OVER: [&str; 5] = ["/dev/fd", "/dev/stdin", "/proc/self/fd", "/run/secrets", "/var/run/secrets"];

/// Says that others can read or change the file, and what to do. A pipe and a file that cannot be looked at are left to their reader.
pub(super) fn note_if_open_to_others(path: &Path) {
    if let Some(mode) = mode_if_open_to_others(path) {
        let path = path.display();
        note(&format!(
            "the API key file {path} is open to others (mode {mode:04o}); make it yours alone: chmod 600 {path}"
        ));
    }
}

fn mode_if_open_to_others(path: &Path) -> Option<u32> {
    // Links are followed, as for the read.
    let real = fs::canonicalize(path).ok()?;
    if HANDED_OVER.iter().any(|folder| path.starts_with(folder) || real.starts_with(folder)) {
        return None;
    }
    let about = fs::metadata(&real).ok().filter(fs::Metadata::is_file)?;
    let (mode, user) = (about.permissions().mode() & 0o7777, rustix::process::geteuid().as_raw());
    open_to_others(mode, about.uid(), user).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_that_others_can_read_or_change_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("app.key"), folder.path().join("link"));
        fs::write(&path, "srk_").unwrap();
        symlink(&path, &link).unwrap();
        for (mode, noted) in [(0o600, None), (0o400, None), (0o644, Some(0o644)), (0o620, Some(0o620))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!((mode_if_open_to_others(&path), mode_if_open_to_others(&link)), (noted, noted));
        }
    }

    #[test]
    fn what_is_no_file_of_its_own_is_not_noted() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path(), Path::new("/dev/null"), Path::new("missing"), Path::new("/dev/stdin")];
        for path in paths {
            assert_eq!(mode_if_open_to_others(path), None, "{}", path.display());
        }
    }
}

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

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

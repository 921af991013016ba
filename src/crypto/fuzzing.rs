//! Entries for `crate::fuzzing`.

use super::backup::{BackupCheck, BackupOpener};
use super::master_key::MasterKeys;
use crate::config::MasterKeySource;

/// The keys in a file.
pub fn master_keys(content: &[u8]) -> Option<MasterKeys> {
    MasterKeys::parse(&MasterKeySource::DataDir("nowhere".into()), content).ok()
}

/// Bytes as a backup and as key files.
pub fn read(bytes: &[u8]) {
    let mut check = BackupCheck::new();
    let checked = bytes.chunks(7).all(|chunk| check.update(chunk).is_ok());
    if checked {
        let _ = check.finish();
    }
    let masters = master_keys(bytes);
    let _ = MasterKeys::parse(&MasterKeySource::PassphraseFile("nowhere".into()), bytes);
    if let Some(masters) = masters.or_else(|| MasterKeys::generate().ok())
        && let Ok(mut backup) = BackupOpener::begin(&masters, bytes)
    {
        while let Ok(Some(_)) = backup.next_part() {}
    }
}

//! The master keys, their sources, and the records that they seal: the keyring, and the data key of each backup.

mod command;
mod error;
mod key;
mod passphrase;
mod provider;
mod source;

pub use self::error::{CommandError, MasterKeyError};
pub(super) use self::key::{How, Root};
pub use self::key::{KeyId, MasterKey};
pub(super) use self::passphrase::Stretch;
pub use self::provider::MasterKeyProvider;
use super::aead::Error;

/// The master key in use, and earlier ones, which still open what they sealed: old backups, or a store whose rekey
/// was interrupted.
pub struct MasterKeys {
    current: MasterKey,
    earlier: Vec<MasterKey>,
}

impl MasterKeys {
    /// A new key, without earlier ones.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self { current: MasterKey::generate()?, earlier: Vec::new() })
    }

    /// The id of the key that seals. A passphrase that has neither sealed nor opened anything yet is stretched for
    /// it.
    pub fn current_id(&self) -> Result<KeyId, Error> {
        Ok(self.current.root()?.1.id())
    }

    /// The number of earlier keys.
    pub fn earlier(&self) -> usize {
        self.earlier.len()
    }

    pub(super) fn current(&self) -> &MasterKey {
        &self.current
    }

    /// All keys, the one in use first.
    pub(super) fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.earlier)
    }
}

#[cfg(test)]
impl MasterKeys {
    /// All keys as lines of a source. Passphrases are left out.
    pub(crate) fn lines(&self) -> String {
        self.all().filter_map(MasterKey::line).map(|line| line.to_string()).collect()
    }

    /// Keys in this order, as their lines or passphrases.
    pub(crate) fn of(lines: &[&str]) -> Self {
        let mut keys = lines.iter().map(|line| {
            let key = MasterKey::parse(line.as_bytes()).unwrap();
            key.unwrap_or_else(|| MasterKey::from_passphrase(line.as_bytes()))
        });
        Self { current: keys.next().unwrap(), earlier: keys.collect() }
    }
}

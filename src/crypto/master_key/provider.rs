use std::sync::{Arc, PoisonError, RwLock};

use super::{MasterKeyError, MasterKeys};
use crate::config::MasterKeySource;

/// The master keys of the service, and the source from which they can be read again.
pub struct MasterKeyProvider {
    source: MasterKeySource,
    keys: RwLock<Arc<MasterKeys>>,
}

impl MasterKeyProvider {
    /// Keys that were read from a source.
    pub fn new(source: MasterKeySource, keys: impl Into<Arc<MasterKeys>>) -> Self {
        Self { source, keys: RwLock::new(keys.into()) }
    }

    /// The source.
    pub fn source(&self) -> &MasterKeySource {
        &self.source
    }

    /// The keys.
    pub fn keys(&self) -> Arc<MasterKeys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the keys from the source again. Blocks: see [`MasterKeys::read`].
    pub fn read_again(&self) -> Result<(), MasterKeyError> {
        self.set(MasterKeys::read(&self.source)?);
        Ok(())
    }

    /// Puts a new key into use at the source: see [`MasterKeySource::renew`]. Blocks.
    pub fn renew(&self) -> Result<(), MasterKeyError> {
        self.set(self.source.renew()?);
        Ok(())
    }

    /// Uses these earlier keys again.
    pub fn restore(&self, keys: Arc<MasterKeys>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn set(&self, keys: MasterKeys) {
        self.restore(Arc::new(keys));
    }
}

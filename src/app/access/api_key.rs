//! Create, list and revoke API keys.

use std::sync::Arc;
use std::time::Duration;

use super::AccessControl;
use crate::app::Error;
use crate::app::authority::Authority;
use crate::app::commit::REQUEST_ATTEMPTS;
use crate::auth::{ApiKey, ApiKeyId, Credential, KeyName, ManageAccess, ServiceGrant};
use crate::domain::{Namespace, Revision, Timestamp, now};
use crate::store::{Expect, Key, Transaction};

/// An API key to create.
pub struct NewApiKey {
    /// Its name.
    pub name: KeyName,
    /// Its home namespace.
    pub home: Namespace,
    /// When it expires.
    pub expiry: Expiry,
}

/// When a key expires.
pub enum Expiry {
    /// Never.
    Never,
    /// At a time, which must be in the future.
    At(Timestamp),
    /// That long after it was created.
    After(Duration),
}

impl AccessControl {
    /// Creates an API key. The credential is returned only here, and stored nowhere.
    pub async fn create_api_key(
        &self,
        grant: &ServiceGrant<ManageAccess>,
        new: NewApiKey,
    ) -> Result<(ApiKey, Credential, Revision), Error> {
        let at = now();
        let expires_at = match new.expiry {
            Expiry::Never => None,
            Expiry::At(then) => Some(then),
            Expiry::After(ttl) => Some(at.plus(ttl)),
        };
        let credential = Credential::generate()?;
        let mut attempts = self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(grant.principal()));
        loop {
            let attempt = attempts.next()?;
            self.core.refuse_spent(attempt.keyring.since())?;
            let (name, home) = (new.name.clone(), new.home.clone());
            let key = ApiKey::new(&attempt.keyring, &credential, name, home, false, at, expires_at);
            let place = Key::api_key(&key.id.0);
            let mut transaction = Transaction::default();
            transaction.require.push((place.clone(), Expect::Absent));
            transaction.put.push((place, key.seal(&attempt.keyring)?));
            if let Some(revision) = attempt.commit(transaction).await? {
                return Ok((key, credential, revision));
            }
        }
    }

    /// All API keys, oldest first, and the revision that they are of.
    pub fn list_api_keys(&self, _grant: &ServiceGrant<ManageAccess>) -> (Vec<Arc<ApiKey>>, Revision) {
        // The revision is read first: the keys may be newer than it, and never older.
        let revision = self.core.catalog.revision();
        (self.core.catalog.api_keys(), revision)
    }

    /// Revokes an API key, at once and for good. A revoked key stays as it is.
    pub async fn revoke_api_key(
        &self,
        grant: &ServiceGrant<ManageAccess>,
        id: ApiKeyId,
    ) -> Result<(Arc<ApiKey>, Revision), Error> {
        let mut attempts = self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(grant.principal()));
        loop {
            // The keyring seals a revocation even where it has sealed as much as it may.
            let attempt = attempts.next()?;
            let key = self.core.catalog.api_key(id).ok_or(Error::ApiKeyNotFound(id))?;
            if key.root {
                // Only the root key can manage access, and there is one.
                return Err(Error::LastAdministrator);
            }
            if key.revoked_at.is_some() {
                return Ok((key, self.core.catalog.revision()));
            }
            let revoked = key.revoked(now());
            let place = Key::api_key(&id.0);
            let mut transaction = Transaction::default();
            transaction.require.push((place.clone(), Expect::At(key.revision)));
            transaction.put.push((place, revoked.seal(&attempt.keyring)?));
            if let Some(revision) = attempt.commit(transaction).await? {
                return Ok((Arc::new(revoked), revision));
            }
        }
    }
}

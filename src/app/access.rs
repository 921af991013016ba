use std::sync::Arc;
use std::time::Duration;

use super::{App, CredentialProblem, Error};
use crate::auth::{ApiKey, ApiKeyId, Credential, KeyName, ManageAccess, Principal, ServiceGrant};
use crate::domain::{Namespace, Revision, Timestamp, now};
use crate::store::{Expect, Key, Transaction};

/// An API key to be made.
pub struct NewApiKey {
    /// What to call it.
    pub name: KeyName,
    /// The namespace that it opens.
    pub home: Namespace,
    /// When it stops working.
    pub expiry: Expiry,
}

/// A caller that is not let in.
#[derive(Debug, Clone, Copy)]
pub struct Unauthenticated {
    /// Why.
    pub problem: CredentialProblem,
    /// The key, where the credential is really its own but it is no longer in force.
    pub key: Option<ApiKeyId>,
}

/// When something stops working.
pub enum Expiry {
    /// Never.
    Never,
    /// At a time, which must be in the future.
    At(Timestamp),
    /// So long after it was made.
    After(Duration),
}

/// How often a change is tried anew because the keyring or the key changed meanwhile.
const ATTEMPTS: usize = 16;

impl App {
    /// The caller that presents this text as its credential.
    pub fn authenticate(&self, credential: &str) -> Result<Principal, Unauthenticated> {
        let invalid = Unauthenticated { problem: CredentialProblem::Invalid, key: None };
        let credential = Credential::parse(credential).ok_or(invalid)?;
        let (key, keyring) = self.catalog.credential(credential.id()).ok_or(invalid)?;
        let known = key.is_of(&keyring, &credential).then_some(key.id);
        key.authenticate(&keyring, &credential, now())
            .map_err(|refused| Unauthenticated { problem: refused.into(), key: known })
    }

    /// Whether the service knows well enough what is in the store to answer anything. Who calls is asked only then.
    pub fn serves(&self) -> Result<(), Error> {
        Ok(self.catalog.follows()?)
    }

    /// Fails unless the caller's key is still in force.
    pub fn confirm(&self, principal: &Principal) -> Result<(), Error> {
        self.serves()?;
        let key = self.catalog.api_key(principal.api_key().id);
        let key = key.ok_or(Error::Unauthenticated(CredentialProblem::Invalid))?;
        key.in_force(now()).map_err(|refused| Error::Unauthenticated(refused.into()))
    }

    /// Makes an API key. The credential is nowhere else.
    pub async fn create_api_key(
        &self,
        _grant: &ServiceGrant<ManageAccess>,
        new: NewApiKey,
    ) -> Result<(ApiKey, Credential, Revision), Error> {
        let at = now();
        let expires_at = match new.expiry {
            Expiry::Never => None,
            Expiry::At(then) => Some(then),
            Expiry::After(ttl) => Some(at.plus(ttl)),
        };
        let credential = Credential::generate()?;
        for _ in 0..ATTEMPTS {
            let keyring = self.keyring();
            self.refuse_spent(keyring.since())?;
            let (name, home) = (new.name.clone(), new.home.clone());
            let key = ApiKey::new(&keyring, &credential, name, home, false, at, expires_at);
            let place = Key::api_key(&key.id.0);
            let mut transaction = Transaction::default();
            transaction.require.push((place.clone(), Expect::Absent));
            transaction.put.push((place, key.seal(&keyring)?));
            if let Some(revision) = self.commit(&keyring, transaction).await? {
                return Ok((key, credential, revision));
            }
        }
        Err(Error::Contended)
    }

    /// All API keys, oldest first.
    pub fn list_api_keys(&self, _grant: &ServiceGrant<ManageAccess>) -> (Vec<Arc<ApiKey>>, Revision) {
        let revision = self.catalog.revision();
        (self.catalog.api_keys(), revision)
    }

    /// Revokes an API key, at once and for good. One that is revoked already stays as it is.
    pub async fn revoke_api_key(
        &self,
        _grant: &ServiceGrant<ManageAccess>,
        id: ApiKeyId,
    ) -> Result<(Arc<ApiKey>, Revision), Error> {
        for _ in 0..ATTEMPTS {
            let keyring = self.keyring();
            let key = self.catalog.api_key(id).ok_or(Error::ApiKeyNotFound(id))?;
            if key.root {
                // There is only one.
                return Err(Error::LastAdministrator);
            }
            if key.revoked_at.is_some() {
                return Ok((key, self.catalog.revision()));
            }
            let revoked = key.revoked(now());
            let place = Key::api_key(&id.0);
            let mut transaction = Transaction::default();
            transaction.require.push((place.clone(), Expect::At(key.revision)));
            transaction.put.push((place, revoked.seal(&keyring)?));
            if let Some(revision) = self.commit(&keyring, transaction).await? {
                return Ok((Arc::new(revoked), revision));
            }
        }
        Err(Error::Contended)
    }

    /// The store's revision that the service is at.
    pub fn revision(&self) -> Revision {
        self.catalog.revision()
    }
}

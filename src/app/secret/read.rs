//! Read secrets. The catalog says which secret and version a name stands for, and the store has the value.
//!
//! The two are read one after the other while others write. A value that does not fit what the catalog said is read again
//! from the newer state; where the state is the same, the store was altered. After the last wait, the caller is confirmed again,
//! and only then is the value opened.

use std::sync::Arc;

use super::SecretOperations;
use crate::app::Error;
use crate::app::commit::Core;
use crate::auth::{Grant, Granted, List, NamespaceGrant, Principal, Read};
use crate::catalog::NamespaceCatalog;
use crate::crypto::{NamespaceKeys, Purpose, value_seal};
use crate::domain::{
    Namespace, Revision, Secret, SecretId, SecretName, Timestamp, Value, Version, VersionState,
};
use crate::store::Key;

/// A secret with a value.
pub struct RevealedSecret {
    /// The secret.
    pub secret: Arc<Secret>,
    /// The number of the version that has the value.
    pub version: u32,
    /// The value.
    pub value: Value,
    /// The store's revision that it was read at.
    pub revision: Revision,
}

/// What a name stands for, with its current value.
pub(in crate::app) enum CurrentValue {
    /// A secret with its current value.
    Value(Arc<Secret>, Value),
    /// A secret whose current version is disabled.
    Disabled(Arc<Secret>),
    /// A secret whose current version was destroyed.
    Destroyed(Arc<Secret>),
    /// A secret that has expired.
    Expired(Arc<Secret>),
    /// No secret.
    Missing,
    /// A secret whose records were altered or damaged.
    Damaged,
    /// A secret with a value for which there is no room beside those before it.
    TooLarge,
}

impl SecretOperations {
    /// A secret with the value of the version, or of its current version where none is given.
    pub async fn get(
        &self,
        grant: &Grant<Read>,
        version: Option<u32>,
        at_least: Revision,
    ) -> Result<RevealedSecret, Error> {
        self.core.at_least(at_least).await?;
        let granted = [grant.granted()];
        let reading = (grant.principal(), granted.as_slice());
        loop {
            let shown = self.core.catalog.revision();
            let (namespace, secret) = self.reader.find_with(grant.namespace(), grant.name(), version).await?;
            let number = version.unwrap_or(secret.version);
            let version = find_readable(&secret, number, self.core.time_of(&secret)?)?;
            match self.reader.read_version(reading, &namespace, &secret, version).await? {
                Some(value) => {
                    // The store can have taken its time.
                    find_readable(&secret, version.number, self.core.time_of(&secret)?)?;
                    let reader = grant.principal().name();
                    self.core.usage.note_read(&namespace, secret.id, version.number, reader);
                    let (version, revision) = (version.number, secret.revision.max(shown));
                    return Ok(RevealedSecret { secret, version, value, revision });
                }
                None => self.reader.confirm_changed(&namespace, &secret).await?,
            }
        }
    }

    /// A secret without its value. Fails where the version that is named is not kept.
    pub async fn describe(
        &self,
        grant: &Grant<List>,
        version: Option<u32>,
        at_least: Revision,
    ) -> Result<(Arc<Secret>, Revision), Error> {
        self.core.at_least(at_least).await?;
        let shown = self.core.catalog.revision();
        let (_, secret) = self.reader.find(grant.namespace(), grant.name()).await?;
        find_version(&secret, version.unwrap_or(secret.version))?;
        let revision = secret.revision.max(shown);
        Ok((secret, revision))
    }
}

/// Finds secrets in the catalog, and opens their values from the store.
pub(in crate::app) struct SecretReader {
    core: Arc<Core>,
}

impl SecretReader {
    pub(in crate::app) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The secrets of these grants, all in one namespace, with their current values, all of one moment. The values have at most
    /// `max_bytes` in all: the first one for which there is no room, and all after it, are left out.
    pub(in crate::app) async fn read_current(
        &self,
        grant: &NamespaceGrant<Read>,
        grants: &[Grant<Read>],
        max_bytes: usize,
    ) -> Result<(Vec<CurrentValue>, Revision), Error> {
        let names: Vec<_> = grants.iter().map(|grant| grant.name().clone()).collect();
        let granted: Vec<_> = grants.iter().map(Grant::granted).collect();
        if grants.iter().any(|of_secret| of_secret.namespace() != grant.namespace()) {
            return Err(Error::Internal("the secrets of one read are in one namespace"));
        }
        'snapshot: loop {
            let shown = self.core.catalog.revision();
            let namespace = self.core.catalog.namespace(grant.namespace());
            let (secrets, revision) = match &namespace {
                Some(namespace) => namespace.secrets(&names, shown),
                None => (Vec::new(), shown),
            };
            let (mut found, mut bytes) = (Vec::with_capacity(names.len()), 0);
            for (at, name) in names.iter().enumerate() {
                let (Some(namespace), Some(Some(secret))) = (&namespace, secrets.get(at)) else {
                    let missing = self.refuse_damaged(grant.namespace(), name).await;
                    found.push(or_damaged(missing.map(|()| CurrentValue::Missing))?);
                    continue;
                };
                if namespace.is_name_altered(name) {
                    found.push(CurrentValue::Damaged);
                    continue;
                }
                let version = find_version(secret, secret.version)?;
                if secret.is_expired(self.core.time_of(secret)?) {
                    found.push(CurrentValue::Expired(secret.clone()));
                    continue;
                }
                match version.state {
                    VersionState::Enabled => {}
                    VersionState::Pending => return Err(Error::Integrity),
                    VersionState::Disabled => {
                        found.push(CurrentValue::Disabled(secret.clone()));
                        continue;
                    }
                    VersionState::Destroyed => {
                        found.push(CurrentValue::Destroyed(secret.clone()));
                        continue;
                    }
                }
                let reading = (grant.principal(), granted.get(at..=at).unwrap_or_default());
                let Some(value) = self.read_version(reading, namespace, secret, version).await? else {
                    match self.confirm_changed(namespace, secret).await {
                        Ok(()) => continue 'snapshot,
                        Err(error) => found.push(or_damaged(Err(error))?),
                    }
                    continue;
                };
                // The store can have taken its time.
                if secret.is_expired(self.core.time_of(secret)?) {
                    found.push(CurrentValue::Expired(secret.clone()));
                    continue;
                }
                bytes += value.len();
                if bytes > max_bytes {
                    found.resize_with(names.len(), || CurrentValue::TooLarge);
                    break;
                }
                found.push(CurrentValue::Value(secret.clone(), value));
            }
            return Ok((found, revision));
        }
    }

    /// Fails where the name stands for a secret that cannot be opened, so that nobody takes it for a name that is free.
    pub(in crate::app) async fn refuse_damaged(
        &self,
        namespace: &Namespace,
        name: &SecretName,
    ) -> Result<(), Error> {
        let Some(catalog) = self.core.catalog.namespace(namespace) else {
            return if self.core.catalog.is_damaged(namespace) { Err(Error::Integrity) } else { Ok(()) };
        };
        if catalog.is_name_altered(name) {
            return Err(Error::Integrity);
        }
        if catalog.damaged_secrets() == 0 {
            return Ok(());
        }
        // The catalog does not know the names of damaged secrets. The record of the name says which secret it stands for.
        let keys = catalog.keys();
        let mac = keys.name_mac(name);
        let Some(entry) = self.core.store.get(&Key::name(keys.id(), &mac)).await? else { return Ok(()) };
        let id = catalog.keys().open_record(Purpose::Name, &mac, &entry.value)?;
        let id = SecretId::from_bytes(id.as_slice().try_into().map_err(|_| Error::Integrity)?);
        if catalog.is_damaged(id) { Err(Error::Integrity) } else { Ok(()) }
    }

    /// The secret of a name, and its namespace.
    pub(super) async fn find(
        &self,
        namespace: &Namespace,
        name: &SecretName,
    ) -> Result<(Arc<NamespaceCatalog>, Arc<Secret>), Error> {
        self.find_by(namespace, name, |catalog| catalog.secret(name)).await
    }

    /// The same with few of the secret's versions: the current one, the pending one, and the one of that number.
    async fn find_with(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        number: Option<u32>,
    ) -> Result<(Arc<NamespaceCatalog>, Arc<Secret>), Error> {
        self.find_by(namespace, name, |catalog| catalog.secret_with(name, number)).await
    }

    async fn find_by(
        &self,
        namespace: &Namespace,
        name: &SecretName,
        find: impl FnOnce(&NamespaceCatalog) -> Option<Arc<Secret>>,
    ) -> Result<(Arc<NamespaceCatalog>, Arc<Secret>), Error> {
        if let Some(catalog) = self.core.catalog.namespace(namespace)
            && let Some(secret) = find(&catalog)
        {
            let altered = catalog.is_name_altered(name);
            return if altered { Err(Error::Integrity) } else { Ok((catalog, secret)) };
        }
        self.refuse_damaged(namespace, name).await?;
        Err(Error::SecretNotFound(namespace.clone(), name.clone()))
    }

    /// The value of a secret's version; `None` where the store does not hold it any more, or holds something else.
    async fn read_version(
        &self,
        (principal, granted): (&Principal, &[Granted]),
        namespace: &NamespaceCatalog,
        secret: &Secret,
        version: &Version,
    ) -> Result<Option<Value>, Error> {
        // A rekey can wrap the data key again while the record is read, so the keys of before and after are tried.
        let keys = namespace.keys();
        let key = Key::version(keys.id(), secret.id, version.number);
        let Some(entry) = self.core.store.get(&key).await? else { return Ok(None) };
        // The record is newer than everything that the catalog shows: a restore may have replaced the store.
        if entry.revision > self.core.catalog.revision() {
            // A record that somebody else put there opens only if it is this version all the same.
            self.core.wait_visible(entry.revision).await.or_else(|error| match error {
                Error::Integrity => Ok(()),
                other => Err(other),
            })?;
            let latest = self.core.catalog.namespace(&secret.namespace);
            if latest.is_none_or(|latest| !std::ptr::eq(&*latest, namespace)) {
                return Ok(None);
            }
        }
        // Nothing is waited for between here and the value.
        self.core.confirm(principal, granted)?;
        let opened = open_version(&keys, secret, version, &entry.value)
            .or_else(|_| open_version(&namespace.keys(), secret, version, &entry.value));
        match opened {
            Err(Error::Integrity) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// After a version's record was not found: returns once the catalog shows that the secret was changed or deleted, or that
    /// a restore has replaced the store. Fails where none of these has happened: then somebody else has removed the record.
    async fn confirm_changed(&self, namespace: &Arc<NamespaceCatalog>, secret: &Secret) -> Result<(), Error> {
        let newest = self.core.store.revision().await?;
        self.core.catalog.at_least(newest).await?;
        let latest = self.core.catalog.namespace(&secret.namespace);
        let latest = latest.filter(|latest| Arc::ptr_eq(latest, namespace));
        match latest.and_then(|latest| latest.secret(&secret.name)) {
            Some(same) if same.stored_at == secret.stored_at => Err(Error::Integrity),
            Some(_) | None => Ok(()),
        }
    }
}

impl Core {
    /// The time, to tell whether a secret or a version of it has expired. Fails where one of them expires at some time, and the clock
    /// of this server can be wrong.
    pub(in crate::app) fn time_of(&self, secret: &Secret) -> Result<Timestamp, Error> {
        let retires = |version: &Version| version.retires_at.is_some();
        match self.clocks.check_expiries() {
            Err(why) if secret.expires_at.is_some() || secret.versions.iter().any(retires) => Err(why.into()),
            Ok(()) | Err(_) => Ok(self.clock.now()),
        }
    }
}

/// The version of that number, in whatever state.
pub(super) fn find_version(secret: &Secret, number: u32) -> Result<&Version, Error> {
    let missing = || Error::VersionNotFound(secret.namespace.clone(), secret.name.clone(), number);
    secret.versions.find(number).ok_or_else(missing)
}

/// Fails where the secret has expired, so that none of its values can be read or replaced.
pub(super) fn refuse_expired(secret: &Secret, now: Timestamp) -> Result<(), Error> {
    match secret.is_expired(now) {
        true => Err(Error::SecretExpired(secret.namespace.clone(), secret.name.clone())),
        false => Ok(()),
    }
}

/// The version of that number. Fails where its value must not be read.
pub(super) fn find_readable(secret: &Secret, number: u32, now: Timestamp) -> Result<&Version, Error> {
    refuse_expired(secret, now)?;
    let version = find_version(secret, number)?;
    match version.state_at(now) {
        VersionState::Enabled => Ok(version),
        VersionState::Pending => {
            Err(Error::VersionPending(secret.namespace.clone(), secret.name.clone(), number))
        }
        VersionState::Disabled => Err(disabled(secret, number)),
        VersionState::Destroyed => Err(destroyed(secret, number)),
    }
}

/// What a name stands for, where records that were altered or damaged are no failure of the whole read.
fn or_damaged(found: Result<CurrentValue, Error>) -> Result<CurrentValue, Error> {
    match found {
        Err(Error::Integrity) => Ok(CurrentValue::Damaged),
        found => found,
    }
}

/// The refusal of a version that is disabled.
pub(super) fn disabled(secret: &Secret, number: u32) -> Error {
    Error::VersionDisabled(secret.namespace.clone(), secret.name.clone(), number)
}

/// The refusal of a version that was destroyed.
pub(super) fn destroyed(secret: &Secret, number: u32) -> Error {
    Error::VersionDestroyed(secret.namespace.clone(), secret.name.clone(), number)
}

/// The value in a version's record. The record of another version that once stood in the same place does not open.
pub(super) fn open_version(
    keys: &NamespaceKeys,
    secret: &Secret,
    version: &Version,
    sealed: &[u8],
) -> Result<Value, Error> {
    if version.seal.is_some() && value_seal(sealed) != version.seal {
        return Err(Error::Integrity);
    }
    let opened = keys.open_value(secret.id.as_bytes(), version.number, sealed)?;
    Value::decode(&opened).ok_or(Error::Integrity)
}

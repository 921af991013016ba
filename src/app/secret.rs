use std::sync::Arc;

use super::version::{kept, open_version, readable};
use super::{App, Error};
use crate::auth::{Grant, List, Read};
use crate::catalog::{NamespaceCatalog, Page};
use crate::crypto::Purpose;
use crate::domain::{
    Filter, Namespace, Order, Revision, Secret, SecretId, SecretName, Start, Value, Version, VersionState,
};
use crate::store::Key;

/// A secret with its value.
pub struct Revealed {
    /// The secret.
    pub secret: Arc<Secret>,
    /// The number of the version whose value this is.
    pub version: u32,
    /// The value.
    pub value: Value,
    /// The store's revision that it was read at.
    pub revision: Revision,
}

/// What there is of a name.
pub(super) enum Found {
    /// A secret with its current value.
    Value(Arc<Secret>, Value),
    /// A secret whose current version is disabled.
    Disabled(Arc<Secret>),
    /// A secret whose current version was destroyed.
    Destroyed(Arc<Secret>),
    /// No secret.
    Nothing,
}

/// What list is asked for.
pub struct ListQuery {
    /// Of which secrets.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// From where.
    pub start: Start,
    /// How many secrets at most.
    pub limit: usize,
}

/// A page of secrets.
pub struct SecretPage {
    /// The secrets.
    pub items: Vec<Arc<Secret>>,
    /// How many match in all.
    pub total: usize,
    /// The token of the next page; `None` where this is the last.
    pub next: Option<String>,
    /// The store's revision that the page was read at.
    pub revision: Revision,
    /// How many secrets of the namespace can not be shown on any page.
    pub damaged: usize,
}

impl App {
    /// A secret with its value: that of the version, or of the current one.
    pub async fn get(
        &self,
        grant: &Grant<Read>,
        name: &SecretName,
        version: Option<u32>,
        at_least: Revision,
    ) -> Result<Revealed, Error> {
        self.catalog.at_least(at_least).await?;
        loop {
            let before = self.catalog.revision();
            let (there, secret) = self.find(grant.namespace(), name).await?;
            let version = readable(&secret, version.unwrap_or(secret.version))?;
            match self.read_version(&there, &secret, version).await? {
                Some(value) => {
                    let (version, revision) = (version.number, secret.revision.max(before));
                    return Ok(Revealed { secret, version, value, revision });
                }
                None => self.settle(&there, &secret).await?,
            }
        }
    }

    /// Secrets with their current values, all of one moment. `None` where their values together are larger than
    /// `most_bytes`.
    pub(super) async fn read_at_once(
        &self,
        grant: &Grant<Read>,
        names: &[SecretName],
        most_bytes: usize,
    ) -> Result<Option<(Vec<Found>, Revision)>, Error> {
        'anew: loop {
            let before = self.catalog.revision();
            let there = self.catalog.namespace(grant.namespace());
            let (secrets, revision) = match &there {
                Some(there) => there.secrets(names, before),
                None => (Vec::new(), before),
            };
            let (mut found, mut bytes) = (Vec::with_capacity(names.len()), 0);
            for (at, name) in names.iter().enumerate() {
                let (Some(there), Some(Some(secret))) = (&there, secrets.get(at)) else {
                    self.refuse_damage(grant.namespace(), name).await?;
                    found.push(Found::Nothing);
                    continue;
                };
                let version = kept(secret, secret.version)?;
                let withheld = match version.state {
                    VersionState::Enabled => None,
                    VersionState::Disabled => Some(Found::Disabled(secret.clone())),
                    VersionState::Destroyed => Some(Found::Destroyed(secret.clone())),
                };
                if let Some(withheld) = withheld {
                    found.push(withheld);
                    continue;
                }
                let Some(value) = self.read_version(there, secret, version).await? else {
                    self.settle(there, secret).await?;
                    continue 'anew;
                };
                bytes += value.len();
                if bytes > most_bytes {
                    return Ok(None);
                }
                found.push(Found::Value(secret.clone(), value));
            }
            return Ok(Some((found, revision)));
        }
    }

    /// A secret without its value. Fails where a version is named that is not kept.
    pub async fn describe(
        &self,
        grant: &Grant<List>,
        name: &SecretName,
        version: Option<u32>,
        at_least: Revision,
    ) -> Result<(Arc<Secret>, Revision), Error> {
        self.catalog.at_least(at_least).await?;
        let before = self.catalog.revision();
        let (_, secret) = self.find(grant.namespace(), name).await?;
        kept(&secret, version.unwrap_or(secret.version))?;
        let revision = secret.revision.max(before);
        Ok((secret, revision))
    }

    /// A page of a namespace's secrets.
    pub async fn list(
        &self,
        grant: &Grant<List>,
        query: ListQuery,
        at_least: Revision,
    ) -> Result<SecretPage, Error> {
        self.catalog.at_least(at_least).await?;
        let before = self.catalog.revision();
        let ((page, revision), damaged) = match self.catalog.namespace(grant.namespace()) {
            Some(there) => (
                there.page(&query.filter, query.order, &query.start, query.limit, before),
                there.damaged_secrets(),
            ),
            None if self.catalog.is_damaged(grant.namespace()) => return Err(Error::Integrity),
            None => ((Page::default(), before), 0),
        };
        let Page { items, total, next } = page;
        let next =
            next.map(|cursor| self.seal_page_token(&cursor, &query.filter, query.order)).transpose()?;
        Ok(SecretPage { items, total, next, revision, damaged })
    }

    /// The value of a secret's version; `None` where it is gone.
    async fn read_version(
        &self,
        there: &NamespaceCatalog,
        secret: &Secret,
        version: &Version,
    ) -> Result<Option<Value>, Error> {
        // Before and after the record is read: its data key is wrapped anew while keys are rotated.
        let before = there.keys();
        let key = Key::version(before.id(), secret.id, version.number);
        let Some(entry) = self.store.get(&key).await? else { return Ok(None) };
        // Newer than all that the catalog shows: of a store that has replaced the one which the catalog shows, perhaps.
        if entry.revision > self.catalog.revision() {
            // What was not put there by this service opens only where it is the version all the same.
            self.shown(entry.revision).await.or_else(|error| match error {
                Error::Integrity => Ok(()),
                other => Err(other),
            })?;
            let now = self.catalog.namespace(&secret.namespace);
            if now.is_none_or(|now| !std::ptr::eq(&*now, there)) {
                return Ok(None);
            }
        }
        let opened = open_version(&before, secret, version, &entry.value)
            .or_else(|_| open_version(&there.keys(), secret, version, &entry.value));
        match opened {
            // Unless the secret has changed, that is what its version is now.
            Err(Error::Integrity) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// A secret's version is gone. Either the secret is being deleted or has moved on, or the store was replaced, which the
    /// catalog is about to show; or it still shows the same state then, and something else has taken the version away.
    async fn settle(&self, there: &Arc<NamespaceCatalog>, secret: &Secret) -> Result<(), Error> {
        let newest = self.store.revision().await?;
        self.catalog.at_least(newest).await?;
        let now = self.catalog.namespace(&secret.namespace).filter(|now| Arc::ptr_eq(now, there));
        match now.and_then(|now| now.secret(&secret.name)) {
            Some(same) if same.stored_at == secret.stored_at => Err(Error::Integrity),
            Some(_) | None => Ok(()),
        }
    }

    /// The secret of a name, and where it is.
    async fn find(
        &self,
        namespace: &Namespace,
        name: &SecretName,
    ) -> Result<(Arc<NamespaceCatalog>, Arc<Secret>), Error> {
        let there = self.catalog.namespace(namespace);
        if let Some((there, secret)) =
            there.and_then(|there| there.secret(name).map(|secret| (there, secret)))
        {
            let altered = there.is_name_altered(name);
            return if altered { Err(Error::Integrity) } else { Ok((there, secret)) };
        }
        self.refuse_damage(namespace, name).await?;
        Err(Error::SecretNotFound(namespace.clone(), name.clone()))
    }

    /// Fails where the name stands for a secret that is there but can not be opened, so that it is not mistaken for
    /// one that is not there.
    pub(super) async fn refuse_damage(&self, namespace: &Namespace, name: &SecretName) -> Result<(), Error> {
        let Some(there) = self.catalog.namespace(namespace) else {
            return if self.catalog.is_damaged(namespace) { Err(Error::Integrity) } else { Ok(()) };
        };
        if there.is_name_altered(name) {
            return Err(Error::Integrity);
        }
        if there.damaged_secrets() == 0 {
            return Ok(());
        }
        let mac = there.keys().name_mac(name);
        let Some(entry) = self.store.get(&Key::name(there.keys().id(), &mac)).await? else { return Ok(()) };
        let id = there.keys().open_record(Purpose::Name, &mac, &entry.value)?;
        let id = SecretId::from_bytes(id.as_slice().try_into().map_err(|_| Error::Integrity)?);
        if there.is_damaged(id) { Err(Error::Integrity) } else { Ok(()) }
    }
}

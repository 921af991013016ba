//! Gives access back to somebody who holds the store and the master key, and has no API key any more.
//!
//! Who holds both can open everything anyway. So this asks for no grant, and only code that has the store and the master key at hand can
//! reach it: the api, which has an [`App`], cannot make a [`Recovery`].

use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::authority::Authority;
use super::commit::REQUEST_ATTEMPTS;
use super::setup::{Options, SetupError, open};
use super::{App, Error, RequestRecord, recorded};
use crate::audit::{Auditor, Line, Names, Record, Referenced, Target};
use crate::auth::{
    ApiKey, ApiKeyId, Binding, BindingId, BuiltInRole, Credential, Effect, KeyName, PrincipalName, RoleName,
    Scope,
};
use crate::crypto::MasterKeyProvider;
use crate::domain::{Description, Namespace, Revision, new_id, now};
use crate::store::{Expect, Key, Store, Transaction};

/// What the audit names in place of a principal, and of an RPC.
const PRINCIPAL: &str = "offline";
const RPC: &str = "offline/RecoverApiKey";

/// A store that was opened to recover access. It serves nobody.
pub struct Recovery {
    app: App,
}

impl Recovery {
    /// Opens a store, which must not be new. It is checked as at a start of the service.
    pub async fn open(
        store: Arc<dyn Store>,
        provider: MasterKeyProvider,
        options: Options,
    ) -> Result<Self, SetupError> {
        let new = |_: &Credential| Err(io::Error::other("the store is new, and there is nothing to recover"));
        Ok(Self { app: open(store, provider, options, new).await? })
    }

    /// Creates an API key with every right on everything, and writes the audit record of that. The credential is returned only here, and
    /// only after the record is written.
    pub async fn create_administrator(
        &self,
        name: &KeyName,
        auditor: &dyn Auditor,
    ) -> Result<(ApiKey, Credential, Revision), Error> {
        let credential = Credential::generate()?;
        let id = new_id();
        let record = record(credential.id(), id);
        let copy = Arc::new(Offline { id, record: record.clone() });
        let (key, revision) = recorded(copy, self.put_administrator(name, &credential)).await?;
        auditor.write(&record).await?;
        if let Some(outbox) = &self.app.core.outbox {
            outbox.written(id.into_bytes());
        }
        Ok((key, credential, revision))
    }

    /// Puts the key, its binding and a copy of the audit record into the store, in one commit.
    ///
    /// The keyring seals them even where it has sealed as much as it may: nobody could ask for a rekey without a key.
    async fn put_administrator(
        &self,
        name: &KeyName,
        credential: &Credential,
    ) -> Result<(ApiKey, Revision), Error> {
        let core = &*self.app.core;
        let binding_id = BindingId::generate()?;
        let description = Description::parse("Made by strongroom key recover.")
            .map_err(|_| Error::Internal("a description"))?;
        let mut attempts = core.attempts(REQUEST_ATTEMPTS, Authority::Service);
        loop {
            let attempt = attempts.next()?;
            let epoch = core.catalog.with_policy(|policy| policy.epoch());
            let (home, at) = (Namespace::default_namespace(), now());
            let key = ApiKey::new(&attempt.keyring, credential, name.clone(), home, false, at, None);
            let binding = Binding {
                id: binding_id,
                principal: PrincipalName::ApiKey(key.id),
                role: RoleName::of(BuiltInRole::Admin),
                scope: Scope::everything(),
                effect: Effect::Allow,
                created_at: at,
                expires_at: None,
                description: description.clone(),
                revision: Revision::default(),
            };
            let (key_place, binding_place) = (Key::api_key(&key.id.0), Key::binding(&binding_id.0));
            let unchanged = epoch.map_or(Expect::Absent, |epoch| Expect::At(epoch.revision));
            let mut transaction = Transaction::default();
            transaction.require.push((key_place.clone(), Expect::Absent));
            transaction.require.push((binding_place.clone(), Expect::Absent));
            transaction.require.push((Key::access_epoch(), unchanged));
            transaction.put.push((key_place, key.seal(&attempt.keyring)?));
            transaction.put.push((binding_place, binding.seal(&attempt.keyring)?));
            let next = epoch.unwrap_or_default().next();
            transaction.put.push((Key::access_epoch(), next.seal(&attempt.keyring)?));
            let outbox = core.outbox.as_ref();
            let copy = outbox.map(|outbox| outbox.put(&mut transaction, &attempt.keyring)).transpose()?;
            let committed = attempt.commit(transaction).await;
            if let (Ok(None), Some((outbox, id))) = (&committed, outbox.zip(copy.flatten())) {
                outbox.not_made(id);
            }
            if let Some(revision) = committed? {
                return Ok((key, revision));
            }
        }
    }

    /// Closes the store. The anchor, where there is one, then has its latest state.
    pub async fn close(self) {
        self.app.close().await;
    }
}

/// The audit record, beside the commit.
struct Offline {
    id: Uuid,
    record: Record,
}

impl RequestRecord for Offline {
    fn id(&self) -> [u8; 16] {
        self.id.into_bytes()
    }

    fn line(&self) -> Vec<u8> {
        Line::of(&self.record, &Names::Plain, now()).to_text() // it names no secret
    }
}

/// The audit record of a key. The one who holds the master key has no name that the service knows.
fn record(key: ApiKeyId, id: Uuid) -> Record {
    Record {
        principal: Some(PRINCIPAL.to_owned()),
        peer: None,
        rpc: RPC,
        target: Target { subject: Some(key.to_string()), ..Target::default() },
        referenced: Referenced::default(),
        outcome: "ok",
        reason: None,
        request_id: id.to_string(),
        caller_request_id: None,
        trace_id: None,
    }
}

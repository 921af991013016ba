//! Creates, gets, changes and deletes secrets.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::calls::{awaited, option};
use crate::client::Client;
use crate::error::Error;
use crate::generator::{NewValue, RotationPolicy, span};
use crate::model::{DeletedSecret, Secret, moment};
use crate::plaintext::Value;
use crate::v1;

impl Client {
    /// Creates a secret with version 1. The value is text, bytes, a [`Value`], or a [`Generator`](crate::Generator) of the service.
    ///
    /// The name is 1 to 128 characters of `[A-Za-z_][A-Za-z0-9_]*`. The value is left out of the returned secret, unless the
    /// service generated it and [`Create::return_value`] is given.
    pub fn create(&self, name: impl Into<String>, value: impl Into<NewValue>) -> Create {
        let (value, generate) = value.into().sent();
        let request = v1::CreateSecretRequest { name: name.into(), value, generate, ..Default::default() };
        Create { client: self.clone(), request }
    }

    /// Gets a secret with its plaintext value.
    pub fn get(&self, name: impl Into<String>) -> Get {
        let request = v1::GetSecretRequest { name: name.into(), ..Default::default() };
        Get { client: self.clone(), request }
    }

    /// Gets 1 to 100 secrets as they were at one moment, in the order of the names.
    ///
    /// A secret that cannot be returned has an error in its item; the call itself fails only when it can return none of them.
    pub fn batch_get<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> BatchGet {
        let names = names.into_iter().map(Into::into).collect();
        let request = v1::BatchGetSecretsRequest { names, ..Default::default() };
        BatchGet { client: self.clone(), request }
    }

    /// Changes what the options say, and keeps everything else.
    pub fn update(&self, name: impl Into<String>) -> Update {
        let request = v1::UpdateSecretRequest { name: name.into(), ..Default::default() };
        Update { client: self.clone(), request }
    }

    /// Deletes a secret with all its versions. Its name is free at once. [`undelete`](Self::undelete) brings it back until
    /// [`DeletedSecret::purge_at`].
    pub fn delete(&self, name: impl Into<String>) -> Delete {
        let request = v1::DeleteSecretRequest { name: name.into(), ..Default::default() };
        Delete { client: self.clone(), request }
    }

    /// Brings a deleted secret back by its id, under its former name or another one.
    pub fn undelete(&self, id: impl Into<String>) -> Undelete {
        let request = v1::UndeleteSecretRequest { id: id.into(), ..Default::default() };
        Undelete { client: self.clone(), request }
    }
}

/// Creates a secret when it is awaited; see [`Client::create`].
#[must_use = "a call is sent when it is awaited"]
pub struct Create {
    client: Client,
    request: v1::CreateSecretRequest,
}

impl Create {
    /// The description, at most 1,024 bytes.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.request.description = description.into();
        self
    }

    /// Attaches a pair, of at most 64.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.metadata.insert(key.into(), value.into());
        self
    }

    /// When the secret expires.
    pub fn expires_at(mut self, time: SystemTime) -> Self {
        self.request.expires_at = Some(time.into());
        self
    }

    /// How long the secret lives, 1 second to 100 years.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.request.ttl = Some(span(ttl));
        self
    }

    /// When and how the secret is rotated.
    pub fn rotation_policy(mut self, policy: RotationPolicy) -> Self {
        self.request.rotation_policy = Some(policy.sent());
        self
    }

    option! { return_value request_id min_revision }
}

awaited!(Create => Secret, async |client: Client, request| {
    let reply = client.secrets().create(request).await?;
    Ok(Secret::of(reply.secret, 1, reply.revision))
});

/// Gets a secret when it is awaited; see [`Client::get`].
#[must_use = "a call is sent when it is awaited"]
pub struct Get {
    client: Client,
    request: v1::GetSecretRequest,
}

impl Get {
    /// The value of this version, and not of the current one.
    pub fn version(mut self, number: u32) -> Self {
        self.request.version = Some(number);
        self
    }

    option! { metadata_only min_revision consistency }
}

awaited!(Get => Secret, async |client: Client, request: v1::GetSecretRequest| {
    let reply = client.secrets().get(request).await?;
    Ok(Secret::of(reply.secret, reply.version, reply.revision))
});

/// Gets several secrets when it is awaited; see [`Client::batch_get`].
#[must_use = "a call is sent when it is awaited"]
pub struct BatchGet {
    client: Client,
    request: v1::BatchGetSecretsRequest,
}

impl BatchGet {
    option! { metadata_only min_revision consistency }
}

/// One of several secrets.
#[derive(Debug)]
#[non_exhaustive]
pub struct BatchItem {
    /// The name that was asked for.
    pub name: String,
    /// The secret, or the error that [`Client::get`] of the same name would give.
    pub secret: Result<Secret, Error>,
}

awaited!(BatchGet => Vec<BatchItem>, async |client: Client, request| {
    let reply = client.secrets().batch_get(request).await?;
    let item = |sent: v1::BatchGetSecretsItem| BatchItem {
        secret: match sent.result {
            Some(v1::batch_get_secrets_item::Result::Secret(secret)) => {
                let version = secret.version;
                Ok(Secret::of(Some(secret), version, reply.revision))
            }
            Some(v1::batch_get_secrets_item::Result::Error(status)) => Err(Error::of_item(&status)),
            None => Err(Error::of_empty_item()),
        },
        name: sent.name,
    };
    Ok(reply.items.into_iter().map(item).collect())
});

/// Changes a secret when it is awaited; see [`Client::update`].
#[must_use = "a call is sent when it is awaited"]
pub struct Update {
    client: Client,
    request: v1::UpdateSecretRequest,
}

impl Update {
    /// Renames the secret.
    pub fn new_name(mut self, name: impl Into<String>) -> Self {
        self.request.new_name = Some(name.into());
        self
    }

    /// The new value, which becomes a new version.
    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.request.value = Some(value.into().sent());
        self
    }

    /// The new description. Empty: it is cleared.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.request.description = Some(description.into());
        self
    }

    /// The new metadata, which replaces all pairs. Empty: it is cleared.
    pub fn metadata<K: Into<String>, V: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into()));
        self.request.metadata = BTreeMap::from_iter(pairs);
        self.named("metadata")
    }

    /// When the secret expires. `None`: never.
    pub fn expires_at(mut self, time: Option<SystemTime>) -> Self {
        self.request.expires_at = time.map(Into::into);
        self.named("expires_at")
    }

    /// When and how the secret is rotated. `None`: only on request.
    pub fn rotation_policy(mut self, policy: Option<RotationPolicy>) -> Self {
        self.request.rotation_policy = policy.map(RotationPolicy::sent);
        self.named("rotation_policy")
    }

    option! { etag request_id min_revision }

    /// Names a field that is set also where it is empty.
    fn named(mut self, field: &str) -> Self {
        let mask = self.request.update_mask.get_or_insert_default();
        if !mask.paths.iter().any(|path| path == field) {
            mask.paths.push(field.to_owned());
        }
        self
    }
}

awaited!(Update => Secret, async |client: Client, request| {
    let reply = client.secrets().update(request).await?;
    Ok(Secret::of(reply.secret, 0, reply.revision))
});

/// Deletes a secret when it is awaited; see [`Client::delete`].
#[must_use = "a call is sent when it is awaited"]
pub struct Delete {
    client: Client,
    request: v1::DeleteSecretRequest,
}

impl Delete {
    option! { etag request_id min_revision }
}

awaited!(Delete => DeletedSecret, async |client: Client, request: v1::DeleteSecretRequest| {
    let reply = client.secrets().delete(request).await?;
    let (deleted_at, purge_at) = (moment(reply.deleted_at), moment(reply.purge_at));
    Ok(DeletedSecret { id: reply.id, deleted_at, purge_at, revision: reply.revision })
});

/// Brings a deleted secret back when it is awaited; see [`Client::undelete`].
#[must_use = "a call is sent when it is awaited"]
pub struct Undelete {
    client: Client,
    request: v1::UndeleteSecretRequest,
}

impl Undelete {
    /// The name that the secret gets, in place of the one that it had.
    pub fn new_name(mut self, name: impl Into<String>) -> Self {
        self.request.new_name = name.into();
        self
    }

    option! { request_id min_revision }
}

awaited!(Undelete => Secret, async |client: Client, request| {
    let reply = client.secrets().undelete(request).await?;
    Ok(Secret::of(reply.secret, 0, reply.revision))
});

//! The versions of a secret.

use std::time::SystemTime;

use crate::calls::{awaited, option};
use crate::client::Client;
use crate::model::{SecretVersion, moment};
use crate::v1;

impl Client {
    /// The versions of a secret that the service keeps, newest first, without their values.
    pub fn versions(&self, name: impl Into<String>) -> Versions {
        let request = v1::ListSecretVersionsRequest { name: name.into(), ..Default::default() };
        Versions { client: self.clone(), request }
    }

    /// Says that this consumer now uses a version. With `retire_when_unread` in the rotation policy, the former version retires once
    /// each of its consumers has moved on.
    pub fn acknowledge(&self, name: impl Into<String>, version: u32) -> Acknowledge {
        let request = v1::AcknowledgeVersionRequest { name: name.into(), version, ..Default::default() };
        Acknowledge { client: self.clone(), request }
    }

    /// Disables a version, so that its value cannot be read until [`enable_version`](Self::enable_version).
    pub fn disable_version(&self, name: impl Into<String>, version: u32) -> ChangeVersion {
        ChangeVersion { enable: false, change: self.destroy_version(name, version) }
    }

    /// Enables a disabled version.
    pub fn enable_version(&self, name: impl Into<String>, version: u32) -> ChangeVersion {
        ChangeVersion { enable: true, change: self.destroy_version(name, version) }
    }

    /// Deletes the value of a version for good.
    pub fn destroy_version(&self, name: impl Into<String>, version: u32) -> DestroyVersion {
        let request = v1::DestroyVersionRequest { name: name.into(), version, ..Default::default() };
        DestroyVersion { client: self.clone(), request }
    }
}

/// Lists versions when it is awaited; see [`Client::versions`].
#[must_use = "a call is sent when it is awaited"]
pub struct Versions {
    client: Client,
    request: v1::ListSecretVersionsRequest,
}

impl Versions {
    option! { min_revision consistency }
}

awaited!(Versions => Vec<SecretVersion>, async |client: Client, request: v1::ListSecretVersionsRequest| {
    let reply = client.secrets().versions(request).await?;
    Ok(reply.versions.into_iter().map(|version| SecretVersion::of(Some(version))).collect())
});

/// Acknowledges a version when it is awaited; see [`Client::acknowledge`].
#[must_use = "a call is sent when it is awaited"]
pub struct Acknowledge {
    client: Client,
    request: v1::AcknowledgeVersionRequest,
}

impl Acknowledge {
    /// What the consumer calls itself, for consumers that share a credential.
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.request.consumer = name.into();
        self
    }

    option! { min_revision }
}

awaited!(Acknowledge => SecretVersion, async |client: Client, request| {
    Ok(SecretVersion::of(client.secrets().acknowledge(request).await?.version))
});

/// Disables or enables a version when it is awaited; see [`Client::disable_version`] and [`Client::enable_version`].
#[must_use = "a call is sent when it is awaited"]
pub struct ChangeVersion {
    enable: bool,
    /// The fields are the same.
    change: DestroyVersion,
}

impl ChangeVersion {
    /// As [`Update::etag`](crate::Update::etag).
    pub fn etag(self, etag: impl Into<String>) -> Self {
        Self { change: self.change.etag(etag), ..self }
    }

    /// As [`Update::request_id`](crate::Update::request_id).
    pub fn request_id(self, id: impl Into<String>) -> Self {
        Self { change: self.change.request_id(id), ..self }
    }

    /// As [`Update::min_revision`](crate::Update::min_revision).
    pub fn min_revision(self, revision: u64) -> Self {
        Self { change: self.change.min_revision(revision), ..self }
    }
}

impl IntoFuture for ChangeVersion {
    type Output = Result<SecretVersion, crate::Error>;
    type IntoFuture = crate::calls::Sent<SecretVersion>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { enable, change: DestroyVersion { client, request } } = self;
        let v1::DestroyVersionRequest { namespace, name, version, etag, request_id, min_revision } = request;
        Box::pin(async move {
            let secrets = client.secrets();
            let changed = if enable {
                let request =
                    v1::EnableVersionRequest { namespace, name, version, etag, request_id, min_revision };
                secrets.enable_version(request).await?.version
            } else {
                let request =
                    v1::DisableVersionRequest { namespace, name, version, etag, request_id, min_revision };
                secrets.disable_version(request).await?.version
            };
            Ok(SecretVersion::of(changed))
        })
    }
}

/// Destroys a version when it is awaited; see [`Client::destroy_version`].
#[must_use = "a call is sent when it is awaited"]
pub struct DestroyVersion {
    client: Client,
    request: v1::DestroyVersionRequest,
}

impl DestroyVersion {
    option! { etag request_id min_revision }
}

/// A version that was destroyed, with the signed statement of the service, which `strongroom receipt verify` checks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DestroyedVersion {
    /// The version in its new state.
    pub version: SecretVersion,
    /// When it was destroyed.
    pub destroyed_at: Option<SystemTime>,
    /// The statement with its signature.
    pub receipt: v1::DestructionReceipt,
}

awaited!(DestroyVersion => DestroyedVersion, async |client: Client, request| {
    let reply = client.secrets().destroy_version(request).await?;
    let receipt = reply.receipt.unwrap_or_default();
    Ok(DestroyedVersion {
        version: SecretVersion::of(reply.version),
        destroyed_at: moment(receipt.destroyed_at),
        receipt,
    })
});

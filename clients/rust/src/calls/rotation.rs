//! Gives secrets new values: at once, in two steps, or as a worker that takes what is due.

use std::time::{Duration, SystemTime};

use crate::calls::{awaited, option};
use crate::client::Client;
use crate::generator::{NewValue, span};
use crate::model::{Secret, moment};
use crate::v1;

impl Client {
    /// Gives a secret a new value in one step: readers get the old value or the new one.
    ///
    /// Former versions stay readable by their number, unless a [`grace_period`](Rotate::grace_period) ends that. The `version` of
    /// the returned secret is the new version.
    pub fn rotate(&self, name: impl Into<String>, value: impl Into<NewValue>) -> Rotate {
        let (value, generate) = value.into().sent();
        let request = v1::RotateSecretRequest { name: name.into(), value, generate, ..Default::default() };
        Rotate { client: self.clone(), request }
    }

    /// Makes a new version that stays pending: the current version stays as it is until [`promote`](Self::promote) makes the new one
    /// current. [`destroy_version`](Self::destroy_version) abandons it.
    pub fn stage(&self, name: impl Into<String>, value: impl Into<NewValue>) -> Stage {
        let Rotate { client, mut request } = self.rotate(name, value);
        request.stage = true;
        Stage { client, request }
    }

    /// Makes a version the current one: the pending one, at the end of a staged rotation, or an older one, to go back.
    pub fn promote(&self, name: impl Into<String>, version: u32) -> Promote {
        let request = v1::PromoteVersionRequest { name: name.into(), version, ..Default::default() };
        Promote { client: self.clone(), request }
    }

    /// Takes a rotation that is due, so that no other worker takes it at the same time.
    ///
    /// Then make a new value with [`stage`](Self::stage), set and test it where it is used, and call [`promote`](Self::promote), each
    /// with the claim. When none is due, the error has the reason `NO_ROTATION_DUE`. The call is never sent twice.
    pub fn claim_rotation(&self) -> Claim {
        Claim { client: self.clone(), request: v1::ClaimRotationRequest::default() }
    }

    /// Gives a rotation back. With [`failed`](Release::failed) it is due again later; without, at once. The call is never sent
    /// twice.
    pub fn release_rotation(&self, claim_id: impl Into<String>) -> Release {
        let request = v1::ReleaseRotationRequest { claim_id: claim_id.into(), ..Default::default() };
        Release { client: self.clone(), request }
    }
}

/// Rotates a secret when it is awaited; see [`Client::rotate`].
#[must_use = "a call is sent when it is awaited"]
pub struct Rotate {
    client: Client,
    request: v1::RotateSecretRequest,
}

impl Rotate {
    option! { grace_period return_value etag claim request_id min_revision }
}

awaited!(Rotate => Secret, async |client: Client, request| {
    let reply = client.secrets().rotate(request).await?;
    Ok(Secret::of(reply.secret, reply.version, reply.revision))
});

/// Stages a new version when it is awaited; see [`Client::stage`].
#[must_use = "a call is sent when it is awaited"]
pub struct Stage {
    client: Client,
    request: v1::RotateSecretRequest,
}

impl Stage {
    option! { return_value etag claim request_id min_revision }
}

/// A new version that is pending.
#[derive(Debug)]
#[non_exhaustive]
pub struct StagedVersion {
    /// The number of the version, for [`Client::promote`].
    pub number: u32,
    /// The secret. With [`Stage::return_value`], its value is the generated value of the pending version.
    pub secret: Secret,
}

awaited!(Stage => StagedVersion, async |client: Client, request| {
    let reply = client.secrets().rotate(request).await?;
    let number = reply.version;
    Ok(StagedVersion { number, secret: Secret::of(reply.secret, number, reply.revision) })
});

/// Promotes a version when it is awaited; see [`Client::promote`].
#[must_use = "a call is sent when it is awaited"]
pub struct Promote {
    client: Client,
    request: v1::PromoteVersionRequest,
}

impl Promote {
    option! { grace_period etag claim request_id min_revision }
}

awaited!(Promote => Secret, async |client: Client, request| {
    let reply = client.secrets().promote(request).await?;
    Ok(Secret::of(reply.secret, 0, reply.revision))
});

/// Claims a rotation when it is awaited; see [`Client::claim_rotation`].
#[must_use = "a call is sent when it is awaited"]
pub struct Claim {
    client: Client,
    request: v1::ClaimRotationRequest,
}

impl Claim {
    /// How long the caller holds the rotation, 1 second to 24 hours. Without it, 5 minutes.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.request.lease = Some(span(lease));
        self
    }

    option! { name_prefix matching min_revision }
}

/// A rotation that the caller holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClaimedRotation {
    /// Identifies the claim.
    pub claim_id: String,
    /// The secret to rotate, without its value.
    pub secret: Secret,
    /// When the claim ends by itself.
    pub lease_expires_at: Option<SystemTime>,
    /// The version that another worker has left pending.
    pub pending_version: Option<u32>,
}

awaited!(Claim => ClaimedRotation, async |client: Client, request| {
    let reply = client.secrets().claim_rotation(request).await?;
    Ok(ClaimedRotation {
        claim_id: reply.claim_id,
        secret: Secret::of(reply.secret, 0, reply.revision),
        lease_expires_at: moment(reply.lease_expires_at),
        pending_version: reply.pending_version,
    })
});

/// Gives a rotation back when it is awaited; see [`Client::release_rotation`].
#[must_use = "a call is sent when it is awaited"]
pub struct Release {
    client: Client,
    request: v1::ReleaseRotationRequest,
}

impl Release {
    /// The rotation has failed, for this reason: at most 1,024 bytes, without any value.
    pub fn failed(mut self, reason: impl Into<String>) -> Self {
        self.request.error = reason.into();
        self
    }

    /// After how long a rotation that has failed is due again.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.request.retry_after = Some(span(delay));
        self
    }

    option! { min_revision }
}

awaited!(Release => Secret, async |client: Client, request| {
    let reply = client.secrets().release_rotation(request).await?;
    Ok(Secret::of(reply.secret, 0, reply.revision))
});

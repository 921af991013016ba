//! The RPCs of SecretService about a secret's versions.

use data_encoding::HEXLOWER;

use super::convert::{consistency, etag, idempotency, min_revision, redacted, timestamp};
use super::proto as v1;
use crate::api::request::{Call, Fields};
use crate::app::{
    App, ChangedVersion, DestructionReceipt, Error, Idempotency, ListedVersions, VersionChange,
};
use crate::auth::{Grant, List, RightType};
use crate::domain::{Consumer, Revision, Secret, Version, VersionState, VersionUsage};

pub(super) async fn list(
    app: &App,
    call: &Call,
    message: v1::ListSecretVersionsRequest,
) -> Result<v1::ListSecretVersionsResponse, Error> {
    let mut fields = Fields::default();
    let name = call.name(&message.name, &mut fields);
    let grant = call.grant::<List>(app, &message.namespace, name.as_ref(), &mut fields)?;
    consistency(message.consistency, &mut fields);
    let grant = fields.finish(grant)?;

    let ListedVersions { secret, usage, revision } =
        app.secrets.versions(&grant, Revision(message.min_revision)).await?;
    let listed = |version: &Version| used(app, version, &secret, usage.of_version(version.number));
    let versions = secret.versions.iter().rev().map(listed).collect();
    Ok(v1::ListSecretVersionsResponse { versions, revision: revision.0 })
}

pub(super) async fn disable(
    app: &App,
    call: &Call,
    mut message: v1::DisableVersionRequest,
) -> Result<v1::DisableVersionResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let named = (&*message.namespace, &*message.name, message.version, &*message.etag);
    let (grant, request, change) = parse(app, call, named, request, fields)?;

    app.at_least(min_revision).await?;
    let changed = app.secrets.disable_version(&grant, &change, request.as_ref()).await?;
    let (version, secret, revision) = parts(app, &changed);
    Ok(v1::DisableVersionResponse { version, secret, revision })
}

pub(super) async fn enable(
    app: &App,
    call: &Call,
    mut message: v1::EnableVersionRequest,
) -> Result<v1::EnableVersionResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let named = (&*message.namespace, &*message.name, message.version, &*message.etag);
    let (grant, request, change) = parse(app, call, named, request, fields)?;

    app.at_least(min_revision).await?;
    let changed = app.secrets.enable_version(&grant, &change, request.as_ref()).await?;
    let (version, secret, revision) = parts(app, &changed);
    Ok(v1::EnableVersionResponse { version, secret, revision })
}

pub(super) async fn destroy(
    app: &App,
    call: &Call,
    mut message: v1::DestroyVersionRequest,
) -> Result<v1::DestroyVersionResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let named = (&*message.namespace, &*message.name, message.version, &*message.etag);
    let (grant, request, change) = parse(app, call, named, request, fields)?;

    app.at_least(min_revision).await?;
    let (changed, receipt) = app.secrets.destroy_version(&grant, &change, request.as_ref()).await?;
    let (version, secret, revision) = parts(app, &changed);
    Ok(v1::DestroyVersionResponse { version, secret, revision, receipt: Some(signed(receipt)) })
}

/// Parses the fields that every change of a version has: namespace, name, version and etag.
fn parse<R: RightType>(
    app: &App,
    call: &Call,
    (namespace, name, number, tag): (&str, &str, u32, &str),
    request: Option<Option<Idempotency>>,
    mut fields: Fields,
) -> Result<(Grant<R>, Option<Idempotency>, VersionChange), Error> {
    let name = call.name(name, &mut fields);
    let number = self::number(number, call, &mut fields);
    let grant = call.grant(app, namespace, name.as_ref(), &mut fields)?;
    let change = VersionChange { number, etag: etag(tag) };
    fields.finish((|| Some((grant?, request?, change)))())
}

fn parts(app: &App, changed: &ChangedVersion) -> (Option<v1::SecretVersion>, Option<v1::Secret>, u64) {
    let ChangedVersion { version, secret, revision } = changed;
    (Some(described(app, version, secret)), Some(redacted(app, secret)), revision.0)
}

/// The number of the version that a request names.
pub(super) fn number(number: u32, call: &Call, fields: &mut Fields) -> u32 {
    if number > 0 {
        call.note(|target| target.version = Some(number));
    }
    fields.require(number > 0, "version", "is required, and must be 1 or more: versions are counted from 1");
    number
}

/// A version in a reply, with its use.
pub(super) fn used(
    app: &App,
    version: &Version,
    secret: &Secret,
    usage: Option<&VersionUsage>,
) -> v1::SecretVersion {
    v1::SecretVersion {
        last_read_at: usage.and_then(|usage| usage.last_read).map(|read| timestamp(read.start())),
        consumers: usage.into_iter().flat_map(|usage| &usage.consumers).map(consumer).collect(),
        ..described(app, version, secret)
    }
}

fn described(app: &App, version: &Version, secret: &Secret) -> v1::SecretVersion {
    let state = match version.state_at(app.secrets.now()) {
        VersionState::Pending => v1::VersionState::Pending,
        VersionState::Enabled => v1::VersionState::Enabled,
        VersionState::Disabled => v1::VersionState::Disabled,
        VersionState::Destroyed => v1::VersionState::Destroyed,
    };
    v1::SecretVersion {
        number: version.number,
        state: state.into(),
        created_at: version.created_at.map(timestamp),
        state_changed_at: version.changed_at.map(timestamp),
        current: version.number == secret.version,
        last_read_at: None,
        consumers: Vec::new(),
        retires_at: version.retires_at.map(timestamp),
    }
}

fn consumer(consumer: &Consumer) -> v1::Consumer {
    v1::Consumer {
        principal: consumer.principal.to_string(),
        last_read_at: consumer.last_read.map(|read| timestamp(read.start())),
        acknowledged_at: consumer.acknowledged_at.map(timestamp),
        consumer: consumer.name.to_string(),
    }
}

fn signed(receipt: DestructionReceipt) -> v1::DestructionReceipt {
    let DestructionReceipt { destruction, statement, signature, public_key } = receipt;
    v1::DestructionReceipt {
        namespace: destruction.namespace.to_string(),
        name: destruction.name.to_string(),
        secret_id: destruction.secret_id.to_string(),
        version: destruction.version,
        destroyed_at: Some(timestamp(destruction.destroyed_at)),
        data_key_sha256: destruction.data_key.map(|digest| HEXLOWER.encode(&digest)).unwrap_or_default(),
        statement: statement.into_bytes(),
        signature: signature.to_vec(),
        key_id: public_key.id(),
        public_key: public_key.0.to_vec(),
    }
}

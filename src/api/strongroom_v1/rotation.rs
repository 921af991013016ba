//! The RPCs of SecretService about rotations: rotate, promote, acknowledge, claim and release.

use super::convert::{
    MOMENT_TO_TEN_YEARS, SECOND_TO_DAY, UP_TO_THIRTY_DAYS, etag, idempotency, metadata, min_revision,
    redacted, revealed, rotation_source, span_within, timestamp,
};
use super::{proto as v1, version};
use crate::api::request::{Call, Fields};
use crate::app::{
    Acknowledgement, App, ClaimQuery, ClaimRelease, ClaimToken, Error, Promotion, SecretRotation,
};
use crate::auth::{Read, Rotate};
use crate::domain::{Invalid, MAX_FAILURE_BYTES, RotationFilter, SecretName};

/// How long a worker holds a rotation where it does not say so.
const DEFAULT_LEASE: std::time::Duration = std::time::Duration::from_secs(5 * 60);

pub(super) async fn rotate(
    app: &App,
    call: &Call,
    mut message: v1::RotateSecretRequest,
) -> Result<v1::RotateSecretResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let name = call.name(&message.name, &mut fields);
    let grant = call.grant(app, &message.namespace, name.as_ref(), &mut fields)?;
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let source = rotation_source(message.value, message.generate, message.return_value, &mut fields);
    let grace_period = optional_span("grace_period", message.grace_period, MOMENT_TO_TEN_YEARS, &mut fields);
    const GRACE: &str = "must not be set together with stage: give it to PromoteVersion";
    fields.require(!message.stage || message.grace_period.is_none(), "grace_period", GRACE);
    let claim = claim_token(&message.claim_id, &mut fields);
    let parsed = (|| {
        let rotation = SecretRotation {
            source: source?,
            stage: message.stage,
            grace_period: grace_period?,
            claim: claim?,
            etag: etag(&message.etag),
        };
        Some((grant?, request?, rotation))
    })();
    let (grant, request, rotation) = fields.finish(parsed)?;

    app.at_least(min_revision).await?;
    let changed = app.secrets.rotate(&grant, rotation, request.as_ref()).await?;
    let (version, revision) = (changed.version, changed.secret.revision.0);
    call.note(|target| target.version = Some(version));
    let secret = Some(revealed(app, &changed.secret, changed.generated));
    Ok(v1::RotateSecretResponse { secret, version, revision })
}

pub(super) async fn promote(
    app: &App,
    call: &Call,
    mut message: v1::PromoteVersionRequest,
) -> Result<v1::PromoteVersionResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let name = call.name(&message.name, &mut fields);
    let grant = call.grant(app, &message.namespace, name.as_ref(), &mut fields)?;
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let number = version::number(message.version, call, &mut fields);
    let grace_period = optional_span("grace_period", message.grace_period, MOMENT_TO_TEN_YEARS, &mut fields);
    let claim = claim_token(&message.claim_id, &mut fields);
    let parsed = (|| {
        let etag = etag(&message.etag);
        Some((grant?, request?, Promotion { number, grace_period: grace_period?, claim: claim?, etag }))
    })();
    let (grant, request, promotion) = fields.finish(parsed)?;

    app.at_least(min_revision).await?;
    let promoted = app.secrets.promote(&grant, &promotion, request.as_ref()).await?;
    let revision = promoted.revision.0;
    Ok(v1::PromoteVersionResponse { secret: Some(redacted(app, &promoted.secret)), revision })
}

pub(super) async fn acknowledge(
    app: &App,
    call: &Call,
    mut message: v1::AcknowledgeVersionRequest,
) -> Result<v1::AcknowledgeVersionResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let name = call.name(&message.name, &mut fields);
    let grant = call.grant::<Read>(app, &message.namespace, name.as_ref(), &mut fields)?;
    let number = version::number(message.version, call, &mut fields);
    let printable = message.consumer.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    const CONSUMER: &str = "must be at most 128 printable ASCII characters";
    fields.require(message.consumer.len() <= 128 && printable, "consumer", CONSUMER);
    let consumer = message.consumer.into();
    let (grant, acknowledgement) =
        fields.finish((|| Some((grant?, Acknowledgement { number, consumer })))())?;

    app.at_least(min_revision).await?;
    let acknowledged = app.secrets.acknowledge(&grant, &acknowledgement).await?;
    let usage = acknowledged.usage.of_version(number);
    let version = version::used(app, &acknowledged.version, &acknowledged.secret, usage);
    Ok(v1::AcknowledgeVersionResponse { version: Some(version), revision: acknowledged.revision.0 })
}

pub(super) async fn claim(
    app: &App,
    call: &Call,
    mut message: v1::ClaimRotationRequest,
) -> Result<v1::ClaimRotationResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let grant = call.namespace_grant::<Rotate>(app, &message.namespace, &mut fields)?;
    let prefix = fields.check("name_prefix", SecretName::parse_prefix(&message.name_prefix));
    let metadata = metadata(message.metadata, &mut fields);
    let lease = optional_span("lease", message.lease, SECOND_TO_DAY, &mut fields);
    let parsed = (|| {
        let filter = RotationFilter { prefix: prefix?, metadata: metadata? };
        Some((grant?, ClaimQuery { filter, lease: lease?.unwrap_or(DEFAULT_LEASE) }))
    })();
    let (grant, query) = fields.finish(parsed)?;

    app.at_least(min_revision).await?;
    let chosen = |name: &SecretName| call.note(|target| target.name = Some(name.clone()));
    let claimed = app.secrets.claim_rotation(&grant, &query, chosen).await;
    if claimed.is_err() {
        // The secrets that others have claimed are not what the request was about.
        call.note(|target| target.name = None);
    }
    let claimed = claimed?;
    Ok(v1::ClaimRotationResponse {
        claim_id: claimed.token.to_text(),
        lease_expires_at: Some(timestamp(claimed.expires_at)),
        pending_version: claimed.secret.pending_version(),
        secret: Some(redacted(app, &claimed.secret)),
        revision: claimed.revision.0,
    })
}

pub(super) async fn release(
    app: &App,
    call: &Call,
    mut message: v1::ReleaseRotationRequest,
) -> Result<v1::ReleaseRotationResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    const REQUIRED: Invalid = Invalid::new("is required: give the claim_id of a reply to ClaimRotation");
    let token =
        if message.claim_id.is_empty() { Err(REQUIRED) } else { ClaimToken::parse(&message.claim_id) };
    let token = fields.check("claim_id", token);
    // A claim that no secret has is lost for every caller: so a made-up claim tells nothing of a secret. A request without a claim
    // needs the right on some secret of the caller's own namespace.
    let grant = match token.as_ref().map(|token| app.secrets.claimed_secret(token)) {
        Some(Some((namespace, name))) => {
            call.note(|target| target.name = Some(name.clone()));
            call.grant::<Rotate>(app, namespace.as_str(), Some(&name), &mut fields)?
        }
        Some(None) => None,
        None => call.grant::<Rotate>(app, "", None, &mut fields)?,
    };
    const LONG: &str = "must be at most 1,024 bytes";
    fields.require(message.error.len() <= MAX_FAILURE_BYTES, "error", LONG);
    let retry_after = optional_span("retry_after", message.retry_after, UP_TO_THIRTY_DAYS, &mut fields);
    const NEEDS_ERROR: &str = "must not be set without error: a rotation that has not failed is due at once";
    fields.require(message.retry_after.is_none() || !message.error.is_empty(), "retry_after", NEEDS_ERROR);
    let parsed = (|| {
        let retry_after = retry_after?;
        let failure = (!message.error.is_empty()).then(|| (message.error.into(), retry_after));
        Some(ClaimRelease { token: token?, failure })
    })();
    let release = fields.finish(parsed)?;
    let grant = grant.ok_or(Error::ClaimLost)?;

    app.at_least(min_revision).await?;
    let (secret, revision) = app.secrets.release_rotation(&grant, &release).await?;
    Ok(v1::ReleaseRotationResponse { secret: Some(redacted(app, &secret)), revision: revision.0 })
}

/// A claim that a request names, if any.
fn claim_token(text: &str, fields: &mut Fields) -> Option<Option<ClaimToken>> {
    if text.is_empty() {
        return Some(None);
    }
    fields.check("claim_id", ClaimToken::parse(text)).map(Some)
}

/// A span of time that may be absent.
fn optional_span(
    field: &'static str,
    span: Option<prost_types::Duration>,
    limits: super::convert::SpanLimits,
    fields: &mut Fields,
) -> Option<Option<std::time::Duration>> {
    match span {
        Some(span) => fields.check(field, span_within(span, limits)).map(Some),
        None => Some(None),
    }
}

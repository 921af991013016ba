//! SecretService. The RPCs about versions are in `version`, and the list of namespaces is in `namespaces`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert::{
    consistency, etag, idempotency, limit, metadata, min_revision, redacted, revealed, rotation_policy,
    source, time, timestamp, ttl, value,
};
use super::proto::secret_service_server::SecretService;
use super::{batch, namespaces, proto as v1, rotation, version, watch};
use crate::api::request::{Call, Fields};
use crate::app::{App, Error, Idempotency, ListQuery, NewSecret, SecretExpiry, SecretUpdate};
use crate::auth::{Delete, List, Read, Write};
use crate::domain::{
    Description, Filter, Invalid, Metadata, Order, Revision, SecretId, SecretName, Start, Timestamp,
};

/// SecretService over the app.
pub(super) struct Secrets(pub(super) Arc<App>);

#[tonic::async_trait]
impl SecretService for Secrets {
    async fn create_secret(
        &self,
        request: Request<v1::CreateSecretRequest>,
    ) -> Result<Response<v1::CreateSecretResponse>, Status> {
        let (call, message) = Call::open_change(&self.0, request).await?;
        call.close(call.change(&self.0, message, create).await)
    }

    async fn get_secret(
        &self,
        request: Request<v1::GetSecretRequest>,
    ) -> Result<Response<v1::GetSecretResponse>, Status> {
        let (call, message) = Call::open_read(&self.0, request).await?;
        call.close(get(&self.0, &call, message).await)
    }

    async fn list_secrets(
        &self,
        request: Request<v1::ListSecretsRequest>,
    ) -> Result<Response<v1::ListSecretsResponse>, Status> {
        let (call, message) = Call::open_read(&self.0, request).await?;
        call.close(list(&self.0, &call, message).await)
    }

    async fn list_namespaces(
        &self,
        request: Request<v1::ListNamespacesRequest>,
    ) -> Result<Response<v1::ListNamespacesResponse>, Status> {
        let (call, message) = Call::open_read(&self.0, request).await?;
        call.close(namespaces::list(&self.0, &call, message).await)
    }

    async fn update_secret(
        &self,
        request: Request<v1::UpdateSecretRequest>,
    ) -> Result<Response<v1::UpdateSecretResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(update(&self.0, &call, message).await)
    }

    async fn delete_secret(
        &self,
        request: Request<v1::DeleteSecretRequest>,
    ) -> Result<Response<v1::DeleteSecretResponse>, Status> {
        let (call, message) = Call::open_change(&self.0, request).await?;
        call.close(call.change(&self.0, message, delete).await)
    }

    async fn rotate_secret(
        &self,
        request: Request<v1::RotateSecretRequest>,
    ) -> Result<Response<v1::RotateSecretResponse>, Status> {
        let (call, message) = Call::open_change(&self.0, request).await?;
        call.close(call.change(&self.0, message, rotation::rotate).await)
    }

    async fn list_secret_versions(
        &self,
        request: Request<v1::ListSecretVersionsRequest>,
    ) -> Result<Response<v1::ListSecretVersionsResponse>, Status> {
        let (call, message) = Call::open_read(&self.0, request).await?;
        call.close(version::list(&self.0, &call, message).await)
    }

    async fn disable_version(
        &self,
        request: Request<v1::DisableVersionRequest>,
    ) -> Result<Response<v1::DisableVersionResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(version::disable(&self.0, &call, message).await)
    }

    async fn enable_version(
        &self,
        request: Request<v1::EnableVersionRequest>,
    ) -> Result<Response<v1::EnableVersionResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(version::enable(&self.0, &call, message).await)
    }

    async fn destroy_version(
        &self,
        request: Request<v1::DestroyVersionRequest>,
    ) -> Result<Response<v1::DestroyVersionResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(version::destroy(&self.0, &call, message).await)
    }

    async fn batch_get_secrets(
        &self,
        request: Request<v1::BatchGetSecretsRequest>,
    ) -> Result<Response<v1::BatchGetSecretsResponse>, Status> {
        let (call, message) = Call::open_read(&self.0, request).await?;
        call.close(batch::get(&self.0, &call, message).await)
    }

    async fn undelete_secret(
        &self,
        request: Request<v1::UndeleteSecretRequest>,
    ) -> Result<Response<v1::UndeleteSecretResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(undelete(&self.0, &call, message).await)
    }

    async fn promote_version(
        &self,
        request: Request<v1::PromoteVersionRequest>,
    ) -> Result<Response<v1::PromoteVersionResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(rotation::promote(&self.0, &call, message).await)
    }

    async fn acknowledge_version(
        &self,
        request: Request<v1::AcknowledgeVersionRequest>,
    ) -> Result<Response<v1::AcknowledgeVersionResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(rotation::acknowledge(&self.0, &call, message).await)
    }

    async fn claim_rotation(
        &self,
        request: Request<v1::ClaimRotationRequest>,
    ) -> Result<Response<v1::ClaimRotationResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(rotation::claim(&self.0, &call, message).await)
    }

    async fn release_rotation(
        &self,
        request: Request<v1::ReleaseRotationRequest>,
    ) -> Result<Response<v1::ReleaseRotationResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(rotation::release(&self.0, &call, message).await)
    }

    type WatchSecretsStream = watch::WatchReplies;

    async fn watch_secrets(
        &self,
        request: Request<v1::WatchSecretsRequest>,
    ) -> Result<Response<Self::WatchSecretsStream>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(watch::watch(&self.0, &call, message).await)
    }
}

async fn create(
    app: &App,
    call: &Call,
    mut message: v1::CreateSecretRequest,
) -> Result<v1::CreateSecretResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let name = call.name(&message.name, &mut fields);
    let grant = call.grant(app, &message.namespace, name.as_ref(), &mut fields)?;
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let source = source(message.value, message.generate, message.return_value, &mut fields);
    let description = fields.check("description", Description::parse(&message.description));
    let metadata = metadata(message.metadata, &mut fields);
    fields.require(
        message.expires_at.is_none() || message.ttl.is_none(),
        "ttl",
        "must not be set together with expires_at: give one of the two",
    );
    let expiry = match (&message.expires_at, message.ttl) {
        (Some(at), _) => expires_at(app, at, &request, &mut fields).map(|at| Some(SecretExpiry::At(at))),
        (None, Some(span)) => fields.check("ttl", ttl(span)).map(|time| Some(SecretExpiry::After(time))),
        (None, None) => Some(None),
    };
    let policy = message.rotation_policy.map(|policy| rotation_policy(policy, &mut fields));
    let parsed = (|| {
        let new = NewSecret {
            source: source?,
            description: description?,
            metadata: metadata?,
            expiry: expiry?,
            rotation_policy: given(policy)?,
        };
        Some((grant?, request?, new))
    })();
    let (grant, request, new) = fields.finish(parsed)?;

    app.at_least(min_revision).await?;
    let changed = app.secrets.create(&grant, new, request.as_ref()).await?;
    call.note(|target| target.version = Some(changed.secret.version));
    let revision = changed.secret.revision.0;
    Ok(v1::CreateSecretResponse { secret: Some(revealed(app, &changed.secret, changed.generated)), revision })
}

/// When a secret is to expire. That this is in the future is not asked of a request with a request id here: it may be a repeat, and
/// where it is none, the change asks.
fn expires_at(
    app: &App,
    at: &prost_types::Timestamp,
    request: &Option<Option<Idempotency>>,
    fields: &mut Fields,
) -> Option<Timestamp> {
    let at = fields.check("expires_at", time(at))?;
    let may_be_repeat = matches!(request, Some(Some(_)));
    fields.require(may_be_repeat || at > app.secrets.now(), "expires_at", SecretExpiry::PAST);
    Some(at)
}

async fn get(app: &App, call: &Call, message: v1::GetSecretRequest) -> Result<v1::GetSecretResponse, Error> {
    let mut fields = Fields::default();
    let at_least = Revision(message.min_revision);
    consistency(message.consistency, &mut fields);
    let name = call.name(&message.name, &mut fields);
    const VERSION: &str = "must be 1 or more: versions are counted from 1";
    fields.require(message.version != Some(0), "version", VERSION);
    match fields.check("view", v1::View::try_from(message.view).map_err(|_| UNKNOWN_VIEW)) {
        Some(v1::View::Metadata) => {
            let grant = call.grant::<List>(app, &message.namespace, name.as_ref(), &mut fields)?;
            let grant = fields.finish(grant)?;
            let (secret, revision) = app.secrets.describe(&grant, message.version, at_least).await?;
            let version = message.version.unwrap_or(secret.version);
            call.note(|target| {
                target.version = Some(version);
                target.subject = Some(METADATA.to_owned());
            });
            Ok(v1::GetSecretResponse { secret: Some(redacted(app, &secret)), revision: revision.0, version })
        }
        // An unknown view must not count as the view that needs the lesser right.
        Some(v1::View::Unspecified | v1::View::Full) | None => {
            let grant = call.grant::<Read>(app, &message.namespace, name.as_ref(), &mut fields)?;
            let grant = fields.finish(grant)?;
            let found = app.secrets.get(&grant, message.version, at_least).await?;
            call.note(|target| target.version = Some(found.version));
            let secret = Some(revealed(app, &found.secret, Some(found.value)));
            let (revision, version) = (found.revision.0, found.version);
            Ok(v1::GetSecretResponse { secret, revision, version })
        }
    }
}

/// What the audit says of a read that gave no value.
pub(super) const METADATA: &str = "metadata";

pub(super) const UNKNOWN_VIEW: Invalid = Invalid::new("must be VIEW_FULL or VIEW_METADATA");

async fn list(
    app: &App,
    call: &Call,
    message: v1::ListSecretsRequest,
) -> Result<v1::ListSecretsResponse, Error> {
    let mut fields = Fields::default();
    let grant = call.namespace_grant::<List>(app, &message.namespace, &mut fields)?;
    consistency(message.consistency, &mut fields);
    let limit = fields.check("limit", limit(message.limit));
    let offset = fields.check("offset", offset(message.offset));
    let metadata = metadata(message.metadata, &mut fields);
    let prefix = fields.check("name_prefix", SecretName::parse_prefix(&message.name_prefix));
    let unused_since = match &message.unused_since {
        Some(since) => fields.check("unused_since", time(since)).map(Some),
        None => Some(None),
    };
    let order = fields.check("order_by", Order::parse(&message.order_by));
    let filter = (|| {
        let namespace = grant.as_ref()?.namespace().clone();
        Some(Filter {
            namespace,
            prefix: prefix?,
            metadata: metadata?,
            unused_since: unused_since?,
            include_deleted: message.include_deleted,
        })
    })();
    let start = if message.page_token.is_empty() {
        offset.map(Start::Offset)
    } else {
        const BOTH: &str = "must not be set together with page_token: give one of the two";
        fields.require(message.offset.is_none(), "offset", BOTH);
        let query = (|| Some((grant.as_ref()?.names(), filter.as_ref()?, order?)))();
        query.and_then(|(names, filter, order)| {
            let cursor = app.secrets.open_page_token(&message.page_token, names, filter, order);
            fields.check("page_token", cursor).map(Start::After)
        })
    };
    let parsed =
        (|| Some((grant?, ListQuery { filter: filter?, order: order?, start: start?, limit: limit? })))();
    let (grant, query) = fields.finish(parsed)?;

    let room = |bytes| app.admission.check_room(call.principal().name(), bytes);
    let page = app.secrets.list(&grant, query, Revision(message.min_revision), room).await?;
    Ok(v1::ListSecretsResponse {
        items: page.items.iter().map(|secret| redacted(app, secret)).collect(),
        next_page_token: page.next.unwrap_or_default(),
        total_size: i32::try_from(page.total).unwrap_or(i32::MAX),
        revision: page.revision.0,
        damaged_size: i32::try_from(page.damaged).unwrap_or(i32::MAX),
    })
}

fn offset(offset: Option<i32>) -> Result<usize, Invalid> {
    usize::try_from(offset.unwrap_or(0)).map_err(|_| Invalid::new("must be 0 or more"))
}

async fn update(
    app: &App,
    call: &Call,
    mut message: v1::UpdateSecretRequest,
) -> Result<v1::UpdateSecretResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let name = call.name(&message.name, &mut fields);
    let grant = call.grant(app, &message.namespace, name.as_ref(), &mut fields)?;
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let expires_at =
        message.expires_at.as_ref().map(|at| expires_at(app, at, &request, &mut fields).map(Some));
    let changes = changes(app, call, message, expires_at, &mut fields)?;
    let parsed = (|| Some((grant?, request?, changes?)))();
    let (grant, request, changes) = fields.finish(parsed)?;

    app.at_least(min_revision).await?;
    let changed = app.secrets.update(&grant, changes, request.as_ref()).await?;
    call.note(|target| target.version = Some(changed.secret.version));
    let revision = changed.secret.revision.0;
    Ok(v1::UpdateSecretResponse { secret: Some(redacted(app, &changed.secret)), revision })
}

/// The changes of an update: the fields that are given, and the fields that the mask names, which are cleared unless they
/// are given. Another name needs the right on that name too.
fn changes(
    app: &App,
    call: &Call,
    message: v1::UpdateSecretRequest,
    mut expires_at: Option<Option<Option<Timestamp>>>,
    fields: &mut Fields,
) -> Result<Option<SecretUpdate>, Error> {
    let value = message.value.map(|given| fields.check("value", value(given)));
    let new_name = message.new_name.as_deref().map(|name| fields.check("new_name", SecretName::parse(name)));
    if let Some(Some(new_name)) = &new_name {
        call.note(|target| target.new_name = Some(new_name.clone()));
    }
    let new_name = match new_name {
        Some(Some(name)) => {
            Some(call.grant::<Write>(app, &message.namespace, Some(&name), &mut Fields::default())?)
        }
        Some(None) => Some(None),
        None => None,
    };
    let mut description =
        message.description.as_deref().map(|text| fields.check("description", Description::parse(text)));
    let mut policy = message.rotation_policy.map(|policy| rotation_policy(policy, fields).map(Some));
    let mut changed = (!message.metadata.is_empty()).then(|| metadata(message.metadata, fields));
    const FEW: &str = "must name each field at most once";
    fields.require(
        message.update_mask.as_ref().is_none_or(|mask| mask.paths.len() <= 16),
        "update_mask",
        FEW,
    );
    for path in message.update_mask.iter().flat_map(|mask| &mask.paths).take(16) {
        match path.as_str() {
            "description" => {
                description.get_or_insert_with(|| Some(Description::default()));
            }
            "metadata" => {
                changed.get_or_insert_with(|| Some(Metadata::default()));
            }
            "value" => fields.require(value.is_some(), "value", "is required, since update_mask names it"),
            "new_name" => {
                fields.require(new_name.is_some(), "new_name", "is required, since update_mask names it")
            }
            "expires_at" => {
                expires_at.get_or_insert(Some(None));
            }
            "rotation_policy" => {
                policy.get_or_insert(Some(None));
            }
            _ => fields.require(
                false,
                "update_mask",
                "must name only fields that can be changed: value, description, metadata, new_name, expires_at, \
                 rotation_policy",
            ),
        }
    }
    let masked = message.update_mask.is_some_and(|mask| !mask.paths.is_empty());
    let any = value.is_some() || new_name.is_some() || description.is_some() || changed.is_some();
    fields.require(
        any || expires_at.is_some() || policy.is_some() || masked,
        "update_mask",
        "must name a field to clear, or another field must be given: this update changes nothing",
    );
    let etag = etag(&message.etag);
    Ok((|| {
        Some(SecretUpdate {
            new_name: given(new_name)?,
            value: given(value)?,
            description: given(description)?,
            metadata: given(changed)?,
            expires_at: given(expires_at)?,
            rotation_policy: given(policy)?,
            etag,
        })
    })())
}

/// `None` where the field was given and is invalid, which its violation says.
fn given<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(parsed) => parsed.map(Some),
    }
}

async fn delete(
    app: &App,
    call: &Call,
    mut message: v1::DeleteSecretRequest,
) -> Result<v1::DeleteSecretResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    let name = call.name(&message.name, &mut fields);
    let grant = call.grant(app, &message.namespace, name.as_ref(), &mut fields)?;
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let parsed = (|| Some((grant?, request?)))();
    let (grant, request) = fields.finish(parsed)?;

    app.at_least(min_revision).await?;
    let etag = etag(&message.etag);
    let deleted = app.secrets.delete(&grant, etag.as_deref(), request.as_ref()).await?;
    call.note(|target| target.subject = Some(deleted.id.to_string()));
    Ok(v1::DeleteSecretResponse {
        id: deleted.id.to_string(),
        deleted_at: Some(timestamp(deleted.deletion.deleted_at)),
        purge_at: Some(timestamp(deleted.deletion.purge_at)),
        revision: deleted.revision.0,
    })
}

async fn undelete(
    app: &App,
    call: &Call,
    mut message: v1::UndeleteSecretRequest,
) -> Result<v1::UndeleteSecretResponse, Error> {
    let mut fields = Fields::default();
    let min_revision = min_revision(&mut message.min_revision);
    const ID: Invalid = Invalid::new(
        "must be the id of a secret, such as 0197f3a0-5c1e-7000-8000-4d6f6e657921: DeleteSecret returns it, and \
         ListSecrets with include_deleted shows it",
    );
    let id = fields.check("id", SecretId::parse(&message.id).ok_or(ID));
    call.note(|target| target.subject = id.map(|id| id.to_string()));
    let new_name = (!message.new_name.is_empty())
        .then(|| fields.check("new_name", SecretName::parse(&message.new_name)));
    // The right on the new name is asked for before the secret is looked for.
    let grant = call.namespace_grant::<Delete>(app, &message.namespace, &mut fields)?;
    let new_grant = match &new_name {
        Some(Some(name)) => {
            call.note(|target| target.name = Some(name.clone()));
            Some(call.grant::<Delete>(app, &message.namespace, Some(name), &mut Fields::default())?)
        }
        Some(None) => Some(None),
        None => None,
    };
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let parsed = (|| Some((grant?, id?, given(new_grant)?, request?)))();
    let (grant, id, new_grant, request) = fields.finish(parsed)?;

    app.at_least(min_revision).await?;
    let undeleted = app.secrets.undelete(&call.caller, &grant, id, new_grant.as_ref(), request.as_ref());
    let secret = undeleted.await?;
    call.note(|target| target.name = Some(secret.name.clone()));
    Ok(v1::UndeleteSecretResponse { revision: secret.revision.0, secret: Some(redacted(app, &secret)) })
}

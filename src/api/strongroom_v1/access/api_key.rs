//! The RPCs about API keys.

use std::time::Duration;

use super::convert::api_key;
use super::{access, conclude_own};
use crate::api::request::{Call, Fields};
use crate::api::strongroom_v1::convert::{duration, limit, time};
use crate::api::strongroom_v1::proto as v1;
use crate::app::{App, Error, Expiry, NewApiKey, Rotation};
use crate::auth::{ApiKeyId, BuiltInRole, Effect, KeyName, ManageAccess, PrincipalName, RoleName, Scope};
use crate::domain::now;

pub(super) async fn create_key(
    app: &App,
    call: &Call,
    message: v1::CreateApiKeyRequest,
) -> Result<v1::CreateApiKeyResponse, Error> {
    call.somewhere_grant::<ManageAccess>(app)?;
    let mut fields = Fields::default();
    let name = fields.check("name", KeyName::parse(&message.name));
    let home = call.namespace("home_namespace", &message.home_namespace, &mut fields);
    let grant = match &home {
        Some(home) => Some(call.scope_grant::<ManageAccess>(app, Scope::of_namespace(home.clone()))?),
        None => None,
    };
    let role = match &*message.role {
        "" => Some(Some(RoleName::of(BuiltInRole::Editor))),
        RoleName::NONE => Some(None),
        role => fields.check("role", RoleName::parse(role)).map(Some),
    };
    let expiry = expiry(&message, &mut fields);
    let parsed = (|| Some((grant?, NewApiKey { name: name?, home: home?, role: role?, expiry: expiry? })))();
    let (grant, new) = fields.finish(parsed)?;
    let given = new.role.as_ref().map(|role| {
        let scope = Scope::of_namespace(new.home.clone());
        access(None, role, &scope, Effect::Allow, None)
    });
    call.note(|target| target.access = given);

    let (key, credential, revision) = app.access.create_api_key(&grant, new).await?;
    call.note(|target| {
        target.subject = Some(key.id.to_string());
        if let Some(access) = &mut target.access {
            access.principal = Some(PrincipalName::ApiKey(key.id).to_string());
            access.expires_at = key.expires_at;
        }
    });
    Ok(v1::CreateApiKeyResponse {
        api_key: Some(api_key(app, &key)),
        credential: credential.expose().to_owned(),
        revision: revision.0,
    })
}

/// The time when the key expires.
fn expiry(message: &v1::CreateApiKeyRequest, fields: &mut Fields) -> Option<Expiry> {
    const BOTH: &str = "must not be set together with expires_at: give one of the two";
    fields.require(message.expires_at.is_none() || message.ttl.is_none(), "ttl", BOTH);
    match (&message.expires_at, message.ttl) {
        (Some(at), _) => {
            let at = fields.check("expires_at", time(at))?;
            fields.require(at > now(), "expires_at", "must be in the future");
            Some(Expiry::At(at))
        }
        (None, Some(ttl)) => fields.check("ttl", duration(ttl)).map(Expiry::After),
        (None, None) => Some(Expiry::Never),
    }
}

pub(super) fn list_keys(
    app: &App,
    call: &Call,
    message: &v1::ListApiKeysRequest,
) -> Result<v1::ListApiKeysResponse, Error> {
    let grant = call.somewhere_grant::<ManageAccess>(app)?;
    let mut fields = Fields::default();
    let limit = fields.check("limit", limit(message.limit));
    let limit = fields.finish(limit)?;
    let page = app.access.list_api_keys(&grant, limit, &message.page_token)?;
    Ok(v1::ListApiKeysResponse {
        items: page.items.iter().map(|key| api_key(app, key)).collect(),
        revision: page.revision.0,
        next_page_token: page.next.unwrap_or_default(),
    })
}

pub(super) async fn revoke_key(
    app: &App,
    call: &Call,
    message: &v1::RevokeApiKeyRequest,
) -> Result<v1::RevokeApiKeyResponse, Error> {
    let grant = call.somewhere_grant::<ManageAccess>(app)?;
    let mut fields = Fields::default();
    let id = fields.check("id", ApiKeyId::parse(&message.id));
    let id = fields.finish(id)?;
    call.note(|target| target.subject = Some(id.to_string()));

    let (key, revision) = app.access.revoke_api_key(&grant, id).await?;
    conclude_own(call, &PrincipalName::ApiKey(id));
    Ok(v1::RevokeApiKeyResponse { api_key: Some(api_key(app, &key)), revision: revision.0 })
}

pub(super) async fn rotate_key(
    app: &App,
    call: &Call,
    message: &v1::RotateApiKeyRequest,
) -> Result<v1::RotateApiKeyResponse, Error> {
    let mut fields = Fields::default();
    let id = fields.check("id", ApiKeyId::parse(&message.id));
    let own = id.is_some_and(|id| *call.principal().name() == PrincipalName::ApiKey(id));
    let manager = if own { None } else { Some(call.somewhere_grant::<ManageAccess>(app)?) };
    let overlap =
        message.overlap.map_or(Some(Duration::ZERO), |overlap| fields.check("overlap", duration(overlap)));
    let (id, overlap) = fields.finish(id.zip(overlap))?;
    call.note(|target| target.subject = Some(id.to_string()));

    let by = match &manager {
        Some(grant) => Rotation::Managed(grant),
        None => Rotation::Own(call.principal()),
    };
    let (key, credential, revision) = app.access.rotate_api_key(&by, id, overlap).await?;
    conclude_own(call, &PrincipalName::ApiKey(id));
    Ok(v1::RotateApiKeyResponse {
        api_key: Some(api_key(app, &key)),
        credential: credential.expose().to_owned(),
        revision: revision.0,
    })
}

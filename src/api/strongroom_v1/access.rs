//! AccessService: API keys, and the caller's own identity.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert::{duration, time, timestamp};
use super::proto as v1;
use super::proto::access_service_server::AccessService;
use crate::api::request::{Call, Fields};
use crate::app::{App, Error, Expiry, NewApiKey};
use crate::auth::{ApiKey, ApiKeyId, CredentialKind, KeyName, Right};
use crate::domain::now;

/// AccessService over the app.
pub(super) struct Access(pub(super) Arc<App>);

#[tonic::async_trait]
impl AccessService for Access {
    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let (call, message) = Call::open(&self.0, request)?;
        call.close(create(&self.0, &call, message).await)
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let (call, v1::ListApiKeysRequest {}) = Call::open(&self.0, request)?;
        call.close(list(&self.0, &call))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let (call, message) = Call::open(&self.0, request)?;
        call.close(revoke(&self.0, &call, message).await)
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let (call, v1::WhoAmIRequest {}) = Call::open(&self.0, request)?;
        call.close(Ok(who_am_i(&self.0, &call)))
    }
}

async fn create(
    app: &App,
    call: &Call,
    message: v1::CreateApiKeyRequest,
) -> Result<v1::CreateApiKeyResponse, Error> {
    let grant = call.service_grant()?;
    let mut fields = Fields::default();
    let name = fields.check("name", KeyName::parse(&message.name));
    let home = call.namespace("home_namespace", &message.home_namespace, &mut fields);
    let expiry = expiry(&message, &mut fields);
    let parsed = (|| Some(NewApiKey { name: name?, home: home?, expiry: expiry? }))();
    let new = fields.finish(parsed)?;

    let (key, credential, revision) = app.access.create_api_key(&grant, new).await?;
    call.note(|target| target.subject = Some(key.id.to_string()));
    Ok(v1::CreateApiKeyResponse {
        api_key: Some(api_key(&key)),
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

fn list(app: &App, call: &Call) -> Result<v1::ListApiKeysResponse, Error> {
    let grant = call.service_grant()?;
    let (keys, revision) = app.access.list_api_keys(&grant);
    Ok(v1::ListApiKeysResponse { items: keys.iter().map(|key| api_key(key)).collect(), revision: revision.0 })
}

async fn revoke(
    app: &App,
    call: &Call,
    message: v1::RevokeApiKeyRequest,
) -> Result<v1::RevokeApiKeyResponse, Error> {
    let grant = call.service_grant()?;
    let mut fields = Fields::default();
    let id = fields.check("id", ApiKeyId::parse(&message.id));
    let id = fields.finish(id)?;
    call.note(|target| target.subject = Some(id.to_string()));

    let (key, revision) = app.access.revoke_api_key(&grant, id).await?;
    Ok(v1::RevokeApiKeyResponse { api_key: Some(api_key(&key)), revision: revision.0 })
}

fn who_am_i(app: &App, call: &Call) -> v1::WhoAmIResponse {
    let principal = &call.principal;
    let rights = principal.rights(principal.home()).iter();
    v1::WhoAmIResponse {
        principal: principal.to_string(),
        api_key: match principal.credential() {
            CredentialKind::ApiKey(key) => Some(api_key(key)),
            CredentialKind::Certificate(_) | CredentialKind::Token(_) => None,
        },
        rights: rights.map(|right| wire_right(*right).into()).collect(),
        revision: app.revision().0,
        groups: principal.groups().iter().map(ToString::to_string).collect(),
    }
}

fn api_key(key: &ApiKey) -> v1::ApiKey {
    v1::ApiKey {
        id: key.id.to_string(),
        name: key.name.as_str().to_owned(),
        home_namespace: key.home.to_string(),
        root: key.root,
        created_at: Some(timestamp(key.created_at)),
        expires_at: key.expires_at.map(timestamp),
        revoked_at: key.revoked_at.map(timestamp),
    }
}

fn wire_right(right: Right) -> v1::Right {
    match right {
        Right::List => v1::Right::List,
        Right::Read => v1::Right::Read,
        Right::Write => v1::Right::Write,
        Right::Rotate => v1::Right::Rotate,
        Right::ManageAccess => v1::Right::ManageAccess,
        Right::Audit => v1::Right::Audit,
        Right::Operate => v1::Right::Operate,
    }
}

//! AccessService: API keys, roles and bindings, the caller's own identity, and why a decision is as it is.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::convert::{duration, idempotency, limit, time, timestamp};
use super::proto as v1;
use super::proto::access_service_server::AccessService;
use crate::api::request::{Call, Fields};
use crate::app::{App, BindingQuery, Error, Expiry, NewApiKey, NewBinding, Question, Rotation};
use crate::auth::{
    ApiKey, ApiKeyId, Binding, BindingId, BuiltInRole, CredentialKind, Effect, KeyName, ManageAccess,
    NamePattern, NamespacePattern, PrincipalName, Right, Rights, Role, RoleName, Scope,
};
use crate::domain::{Description, Invalid, Namespace, SecretName, now};

/// AccessService over the app.
pub(super) struct Access(pub(super) Arc<App>);

#[tonic::async_trait]
impl AccessService for Access {
    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(create_key(&self.0, &call, message).await)
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(list_keys(&self.0, &call, &message))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(revoke_key(&self.0, &call, &message).await)
    }

    async fn rotate_api_key(
        &self,
        request: Request<v1::RotateApiKeyRequest>,
    ) -> Result<Response<v1::RotateApiKeyResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(rotate_key(&self.0, &call, &message).await)
    }

    async fn create_role(
        &self,
        request: Request<v1::CreateRoleRequest>,
    ) -> Result<Response<v1::CreateRoleResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(create_role(&self.0, &call, &message).await)
    }

    async fn list_roles(
        &self,
        request: Request<v1::ListRolesRequest>,
    ) -> Result<Response<v1::ListRolesResponse>, Status> {
        let (call, v1::ListRolesRequest {}) = Call::open(&self.0, request).await?;
        call.close(list_roles(&self.0, &call))
    }

    async fn delete_role(
        &self,
        request: Request<v1::DeleteRoleRequest>,
    ) -> Result<Response<v1::DeleteRoleResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(delete_role(&self.0, &call, &message).await)
    }

    async fn create_binding(
        &self,
        request: Request<v1::CreateBindingRequest>,
    ) -> Result<Response<v1::CreateBindingResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(create_binding(&self.0, &call, message).await)
    }

    async fn list_bindings(
        &self,
        request: Request<v1::ListBindingsRequest>,
    ) -> Result<Response<v1::ListBindingsResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(list_bindings(&self.0, &call, message))
    }

    async fn delete_binding(
        &self,
        request: Request<v1::DeleteBindingRequest>,
    ) -> Result<Response<v1::DeleteBindingResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(delete_binding(&self.0, &call, &message).await)
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let (call, v1::WhoAmIRequest {}) = Call::open(&self.0, request).await?;
        call.close(Ok(who_am_i(&self.0, &call)))
    }

    async fn explain_access(
        &self,
        request: Request<v1::ExplainAccessRequest>,
    ) -> Result<Response<v1::ExplainAccessResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(explain(&self.0, &call, &message))
    }
}

async fn create_key(
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

    let (key, credential, revision) = app.access.create_api_key(&grant, new).await?;
    call.note(|target| target.subject = Some(key.id.to_string()));
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

fn list_keys(
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

async fn revoke_key(
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

async fn rotate_key(
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

/// A caller that has changed its own access gets the answer, whatever it may do from then on.
fn conclude_own(call: &Call, changed: &PrincipalName) {
    let caller = call.principal();
    if caller.name() == changed || caller.groups().contains(changed) {
        call.caller.conclude();
    }
}

async fn create_role(
    app: &App,
    call: &Call,
    message: &v1::CreateRoleRequest,
) -> Result<v1::CreateRoleResponse, Error> {
    let grant = call.service_grant(app)?;
    let mut fields = Fields::default();
    let name = fields.check("name", RoleName::parse(&message.name));
    const RESERVED: &str = "must not be none, which stands for no role";
    fields.require(message.name != RoleName::NONE, "name", RESERVED);
    const NO_RIGHTS: Invalid = Invalid::new("must have at least one right, and only rights of this service");
    let rights: Option<Rights> = message.rights.iter().map(|right| right_of(*right).ok()).collect();
    let rights = fields.check("rights", rights.filter(|rights| !rights.is_empty()).ok_or(NO_RIGHTS));
    let description = fields.check("description", Description::parse(&message.description));
    let parsed = (|| Some((name?, rights?, description?)))();
    let (name, rights, description) = fields.finish(parsed)?;
    call.note(|target| target.subject = Some(name.to_string()));

    let (role, revision) = app.access.create_role(&grant, name, rights, description).await?;
    Ok(v1::CreateRoleResponse { role: Some(wire_role(&role)), revision: revision.0 })
}

fn list_roles(app: &App, call: &Call) -> Result<v1::ListRolesResponse, Error> {
    let grant = call.somewhere_grant::<ManageAccess>(app)?;
    let (roles, revision) = app.access.list_roles(&grant);
    let built_in = BuiltInRole::ALL.into_iter().map(|role| v1::Role {
        name: role.name().to_owned(),
        rights: wire_rights(role.rights()),
        description: role.description().to_owned(),
        built_in: true,
        created_at: None,
    });
    let items = built_in.chain(roles.iter().map(|role| wire_role(role))).collect();
    Ok(v1::ListRolesResponse { items, revision: revision.0 })
}

async fn delete_role(
    app: &App,
    call: &Call,
    message: &v1::DeleteRoleRequest,
) -> Result<v1::DeleteRoleResponse, Error> {
    let grant = call.service_grant(app)?;
    let mut fields = Fields::default();
    let name = fields.check("name", RoleName::parse(&message.name));
    let name = fields.finish(name)?;
    call.note(|target| target.subject = Some(name.to_string()));

    let revision = app.access.delete_role(&grant, name).await?;
    Ok(v1::DeleteRoleResponse { revision: revision.0 })
}

async fn create_binding(
    app: &App,
    call: &Call,
    mut message: v1::CreateBindingRequest,
) -> Result<v1::CreateBindingResponse, Error> {
    call.somewhere_grant::<ManageAccess>(app)?;
    let mut fields = Fields::default();
    let namespaces = fields.check("namespace_pattern", NamespacePattern::parse(&message.namespace_pattern));
    let names = if message.name_pattern.is_empty() { "*" } else { &*message.name_pattern };
    let names = fields.check("name_pattern", NamePattern::parse(names));
    let scope = namespaces.zip(names).map(|(namespaces, names)| Scope { namespaces, names });
    let grant = match scope {
        Some(scope) => Some(call.scope_grant::<ManageAccess>(app, scope)?),
        None => None,
    };
    let principal = fields.check("principal", PrincipalName::parse(&message.principal));
    let role = fields.check("role", RoleName::parse(&message.role));
    let effect = match v1::Effect::try_from(message.effect) {
        Ok(v1::Effect::Unspecified | v1::Effect::Allow) => Some(Effect::Allow),
        Ok(v1::Effect::Deny) => Some(Effect::Deny),
        Err(_) => {
            fields.require(false, "effect", "must be EFFECT_ALLOW or EFFECT_DENY");
            None
        }
    };
    let expires_at = match &message.expires_at {
        None => Some(None),
        Some(at) => {
            let at = fields.check("expires_at", time(at));
            fields.require(at.is_none_or(|at| at > now()), "expires_at", "must be in the future");
            at.map(Some)
        }
    };
    let description = fields.check("description", Description::parse(&message.description));
    let request = idempotency(call.rpc.name, &mut message, |message| &mut message.request_id, &mut fields);
    let parsed = (|| {
        let (principal, role, effect) = (principal?, role?, effect?);
        let new = NewBinding { principal, role, effect, expires_at: expires_at?, description: description? };
        Some((grant?, new, request?))
    })();
    let (grant, new, request) = fields.finish(parsed)?;

    let (binding, revision) = app.access.create_binding(&grant, new, request.as_ref()).await?;
    call.note(|target| target.subject = Some(binding.id.to_string()));
    conclude_own(call, &binding.principal);
    Ok(v1::CreateBindingResponse { binding: Some(wire_binding(app, &binding)), revision: revision.0 })
}

fn list_bindings(
    app: &App,
    call: &Call,
    message: v1::ListBindingsRequest,
) -> Result<v1::ListBindingsResponse, Error> {
    let grant = call.somewhere_grant::<ManageAccess>(app)?;
    let mut fields = Fields::default();
    let principal =
        given(&message.principal).map(|text| fields.check("principal", PrincipalName::parse(text)));
    let role = given(&message.role).map(|text| fields.check("role", RoleName::parse(text)));
    let namespace = given(&message.namespace).map(|text| fields.check("namespace", Namespace::parse(text)));
    let limit = fields.check("limit", limit(message.limit));
    let query = limit.map(|limit| BindingQuery {
        principal: principal.flatten(),
        role: role.flatten(),
        namespace: namespace.flatten(),
        limit,
        page_token: message.page_token,
    });
    let query = fields.finish(query)?;

    let page = app.access.list_bindings(&grant, &query)?;
    Ok(v1::ListBindingsResponse {
        items: page.items.iter().map(|binding| wire_binding(app, binding)).collect(),
        next_page_token: page.next.unwrap_or_default(),
        revision: page.revision.0,
    })
}

async fn delete_binding(
    app: &App,
    call: &Call,
    message: &v1::DeleteBindingRequest,
) -> Result<v1::DeleteBindingResponse, Error> {
    let grant = call.somewhere_grant::<ManageAccess>(app)?;
    let mut fields = Fields::default();
    let id = fields.check("id", BindingId::parse(&message.id));
    let id = fields.finish(id)?;
    call.note(|target| target.subject = Some(id.to_string()));

    let (binding, revision) = app.access.delete_binding(&grant, id).await?;
    conclude_own(call, &binding.principal);
    Ok(v1::DeleteBindingResponse { revision: revision.0 })
}

fn who_am_i(app: &App, call: &Call) -> v1::WhoAmIResponse {
    let principal = call.principal();
    v1::WhoAmIResponse {
        principal: principal.to_string(),
        api_key: match principal.credential() {
            CredentialKind::ApiKey(key) => Some(api_key(app, key)),
            CredentialKind::Certificate(_) | CredentialKind::Token(_) => None,
        },
        rights: wire_rights(app.access.rights_in(principal, principal.home())),
        revision: app.revision().0,
        groups: principal.groups().iter().map(PrincipalName::to_string).collect(),
        home_namespace: principal.home().to_string(),
    }
}

fn explain(
    app: &App,
    call: &Call,
    message: &v1::ExplainAccessRequest,
) -> Result<v1::ExplainAccessResponse, Error> {
    let caller = call.principal();
    let mut fields = Fields::default();
    let about = match given(&message.principal) {
        None => Some(caller.name().clone()),
        Some(text) => fields.check("principal", PrincipalName::parse(text)),
    };
    let namespace = given(&message.namespace).map(|text| fields.check("namespace", Namespace::parse(text)));
    let name = given(&message.name).map(|text| fields.check("name", SecretName::parse(text)));
    // The right to ask is decided before the fields are looked at, as far as they are known.
    let of_others = match &about {
        Some(about) if about == caller.name() => None,
        Some(_) | None => {
            let scope = match &namespace {
                Some(Some(namespace)) => {
                    let names =
                        name.iter().flatten().next().map_or_else(NamePattern::every, NamePattern::only);
                    Scope { namespaces: NamespacePattern::Exactly(namespace.clone()), names }
                }
                Some(None) | None => Scope::everything(),
            };
            Some(call.scope_grant::<ManageAccess>(app, scope)?.granted())
        }
    };
    let right = fields.check("right", right_of(message.right));
    const ALONE: &str = "must not be set without namespace";
    fields.require(name.is_none() || namespace.is_some(), "name", ALONE);
    let parsed = (|| {
        let (namespace, name) = (namespace.flatten(), name.flatten());
        Some(Question { about: about?, right: right?, namespace, name })
    })();
    let question = fields.finish(parsed)?;
    call.note(|target| {
        target.namespace = question.namespace.clone();
        target.name = question.name.clone();
        target.subject = Some(question.about.to_string());
    });

    let explained = app.access.explain(caller, of_others.as_ref(), &question);
    Ok(v1::ExplainAccessResponse {
        allowed: explained.allowed,
        binding: explained.binding.as_deref().map(|binding| wire_binding(app, binding)),
        explanation: explained.explanation,
        remedy: explained.remedy,
        revision: explained.revision.0,
    })
}

/// The text of a field; `None` where it is empty.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn api_key(app: &App, key: &ApiKey) -> v1::ApiKey {
    v1::ApiKey {
        id: key.id.to_string(),
        name: key.name.as_str().to_owned(),
        home_namespace: key.home.to_string(),
        root: key.root,
        created_at: Some(timestamp(key.created_at)),
        expires_at: key.expires_at.map(timestamp),
        revoked_at: key.revoked_at.map(timestamp),
        rotated_at: key.rotated_at.map(timestamp),
        last_used_at: app.access.last_used(key.id).map(timestamp),
    }
}

fn wire_role(role: &Role) -> v1::Role {
    v1::Role {
        name: role.name.to_string(),
        rights: wire_rights(role.rights),
        description: role.description.as_str().to_owned(),
        built_in: false,
        created_at: Some(timestamp(role.created_at)),
    }
}

fn wire_binding(app: &App, binding: &Binding) -> v1::Binding {
    let effect = match binding.effect {
        Effect::Allow => v1::Effect::Allow,
        Effect::Deny => v1::Effect::Deny,
    };
    v1::Binding {
        id: binding.id.to_string(),
        principal: binding.principal.to_string(),
        role: binding.role.to_string(),
        namespace_pattern: binding.scope.namespaces.to_string(),
        name_pattern: binding.scope.names.to_string(),
        effect: effect.into(),
        created_at: Some(timestamp(binding.created_at)),
        expires_at: binding.expires_at.map(timestamp),
        description: binding.description.as_str().to_owned(),
        last_used_at: app.access.binding_last_used(binding.id).map(timestamp),
    }
}

fn wire_rights(rights: Rights) -> Vec<i32> {
    rights.iter().map(|right| wire_right(right).into()).collect()
}

fn wire_right(right: Right) -> v1::Right {
    match right {
        Right::List => v1::Right::List,
        Right::Read => v1::Right::Read,
        Right::Write => v1::Right::Write,
        Right::Rotate => v1::Right::Rotate,
        Right::Delete => v1::Right::Delete,
        Right::ManageAccess => v1::Right::ManageAccess,
        Right::Audit => v1::Right::Audit,
        Right::Operate => v1::Right::Operate,
    }
}

/// The right of a message.
fn right_of(number: i32) -> Result<Right, Invalid> {
    match v1::Right::try_from(number) {
        Ok(v1::Right::List) => Ok(Right::List),
        Ok(v1::Right::Read) => Ok(Right::Read),
        Ok(v1::Right::Write) => Ok(Right::Write),
        Ok(v1::Right::Rotate) => Ok(Right::Rotate),
        Ok(v1::Right::Delete) => Ok(Right::Delete),
        Ok(v1::Right::ManageAccess) => Ok(Right::ManageAccess),
        Ok(v1::Right::Audit) => Ok(Right::Audit),
        Ok(v1::Right::Operate) => Ok(Right::Operate),
        Ok(v1::Right::Unspecified) | Err(_) => {
            Err(Invalid::new("must be a right of this service, such as RIGHT_READ"))
        }
    }
}

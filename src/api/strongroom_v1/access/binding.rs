//! The RPCs about bindings.

use super::convert::{given, wire_binding};
use super::{access, conclude_own};
use crate::api::request::{Call, Fields};
use crate::api::strongroom_v1::convert::{idempotency, limit, time};
use crate::api::strongroom_v1::proto as v1;
use crate::app::{App, BindingQuery, Error, NewBinding};
use crate::auth::{
    Binding, BindingId, Effect, ManageAccess, NamePattern, NamespacePattern, PrincipalName, RoleName, Scope,
};
use crate::domain::{Description, Namespace, now};

pub(super) async fn create_binding(
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
    let grant = match scope.clone() {
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
        Some((grant?, scope?, new, request?))
    })();
    let (grant, scope, new, request) = fields.finish(parsed)?;
    call.note(|target| {
        target.access = Some(access(Some(&new.principal), &new.role, &scope, new.effect, new.expires_at));
    });

    let (binding, revision) = app.access.create_binding(&grant, new, request.as_ref()).await?;
    call.note(|target| target.subject = Some(binding.id.to_string()));
    conclude_own(call, &binding.principal);
    Ok(v1::CreateBindingResponse { binding: Some(wire_binding(app, &binding)), revision: revision.0 })
}

pub(super) fn list_bindings(
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

pub(super) async fn delete_binding(
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
    let Binding { principal, role, scope, effect, expires_at, .. } = &*binding;
    call.note(|target| target.access = Some(access(Some(principal), role, scope, *effect, *expires_at)));
    conclude_own(call, &binding.principal);
    Ok(v1::DeleteBindingResponse { revision: revision.0 })
}

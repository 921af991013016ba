//! AccessService: API keys, roles and bindings, the caller's own identity, and why a decision is as it is.

mod api_key;
mod binding;
mod convert;
mod explain;
mod role;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::proto as v1;
use super::proto::access_service_server::AccessService;
use crate::api::request::Call;
use crate::app::App;
use crate::audit;
use crate::auth::{Effect, NamespacePattern, PrincipalName, RoleName, Scope};
use crate::domain::Timestamp;

/// AccessService over the app.
pub(super) struct Access(pub(super) Arc<App>);

#[tonic::async_trait]
impl AccessService for Access {
    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(api_key::create_key(&self.0, &call, message).await)
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(api_key::list_keys(&self.0, &call, &message))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(api_key::revoke_key(&self.0, &call, &message).await)
    }

    async fn rotate_api_key(
        &self,
        request: Request<v1::RotateApiKeyRequest>,
    ) -> Result<Response<v1::RotateApiKeyResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(api_key::rotate_key(&self.0, &call, &message).await)
    }

    async fn create_role(
        &self,
        request: Request<v1::CreateRoleRequest>,
    ) -> Result<Response<v1::CreateRoleResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(role::create_role(&self.0, &call, &message).await)
    }

    async fn list_roles(
        &self,
        request: Request<v1::ListRolesRequest>,
    ) -> Result<Response<v1::ListRolesResponse>, Status> {
        let (call, v1::ListRolesRequest {}) = Call::open(&self.0, request).await?;
        call.close(role::list_roles(&self.0, &call))
    }

    async fn delete_role(
        &self,
        request: Request<v1::DeleteRoleRequest>,
    ) -> Result<Response<v1::DeleteRoleResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(role::delete_role(&self.0, &call, &message).await)
    }

    async fn create_binding(
        &self,
        request: Request<v1::CreateBindingRequest>,
    ) -> Result<Response<v1::CreateBindingResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(binding::create_binding(&self.0, &call, message).await)
    }

    async fn list_bindings(
        &self,
        request: Request<v1::ListBindingsRequest>,
    ) -> Result<Response<v1::ListBindingsResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(binding::list_bindings(&self.0, &call, message))
    }

    async fn delete_binding(
        &self,
        request: Request<v1::DeleteBindingRequest>,
    ) -> Result<Response<v1::DeleteBindingResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(binding::delete_binding(&self.0, &call, &message).await)
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let (call, v1::WhoAmIRequest {}) = Call::open(&self.0, request).await?;
        call.close(Ok(explain::who_am_i(&self.0, &call)))
    }

    async fn explain_access(
        &self,
        request: Request<v1::ExplainAccessRequest>,
    ) -> Result<Response<v1::ExplainAccessResponse>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(explain::explain(&self.0, &call, &message))
    }
}

/// A caller that has changed its own access gets the answer, whatever it may do from then on.
fn conclude_own(call: &Call, changed: &PrincipalName) {
    let caller = call.principal();
    if caller.name() == changed || caller.groups().contains(changed) {
        call.caller.conclude();
    }
}

/// The access that a binding gives or denies, or a key with its own binding, for the audit.
fn access(
    principal: Option<&PrincipalName>,
    role: &RoleName,
    scope: &Scope,
    effect: Effect,
    expires_at: Option<Timestamp>,
) -> Box<audit::Access> {
    let (namespace, below) = match &scope.namespaces {
        NamespacePattern::Everywhere => (None, "**"),
        NamespacePattern::Below(top) => (Some(top.clone()), "/**"),
        NamespacePattern::Exactly(only) => (Some(only.clone()), ""),
    };
    Box::new(audit::Access {
        principal: principal.map(ToString::to_string),
        role: role.to_string(),
        namespace,
        below,
        names: scope.names.to_string(),
        effect: match effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
        },
        expires_at,
    })
}

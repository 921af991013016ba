//! API keys, roles and bindings: `strongroom.v1.AccessService`.

use crate::client::{Client, Transport};
use crate::error::Error;
use crate::v1::access_service_client::AccessServiceClient;
use crate::v1::{
    CreateApiKeyRequest, CreateApiKeyResponse, CreateBindingRequest, CreateBindingResponse,
    CreateRoleRequest, CreateRoleResponse, DeleteBindingRequest, DeleteBindingResponse, DeleteRoleRequest,
    DeleteRoleResponse, ExplainAccessRequest, ExplainAccessResponse, ListApiKeysRequest, ListApiKeysResponse,
    ListBindingsRequest, ListBindingsResponse, ListRolesRequest, ListRolesResponse, RevokeApiKeyRequest,
    RevokeApiKeyResponse, RotateApiKeyRequest, RotateApiKeyResponse, WhoAmIRequest, WhoAmIResponse,
};

/// The API keys, roles and bindings of a service; see [`Client::access`].
#[derive(Clone, Debug)]
pub struct Access(pub(crate) Client);

/// Sends a request by the stub's method of this name.
macro_rules! by {
    ($method:ident) => {
        |transport, request| async move { stub(transport).$method(request).await }
    };
}

fn stub(transport: Transport) -> AccessServiceClient<Transport> {
    AccessServiceClient::new(transport)
}

impl Access {
    /// Makes an API key, which only this reply shows. Sent once, for each time would make another key.
    pub async fn create_api_key(&self, request: CreateApiKeyRequest) -> Result<CreateApiKeyResponse, Error> {
        self.0.unary(request, by!(create_api_key)).await
    }

    /// Lists the API keys that the caller manages, revoked and expired ones too, the oldest first. Follows the pages to the last
    /// one: the revision is that of the first page.
    pub async fn list_api_keys(&self) -> Result<ListApiKeysResponse, Error> {
        let mut request = ListApiKeysRequest { limit: Some(1000), page_token: String::new() };
        let mut listed = self.0.unary(request.clone(), by!(list_api_keys)).await?;
        while !listed.next_page_token.is_empty() {
            request.page_token = std::mem::take(&mut listed.next_page_token);
            let mut page = self.0.unary(request.clone(), by!(list_api_keys)).await?;
            listed.items.append(&mut page.items);
            listed.next_page_token = page.next_page_token;
        }
        Ok(listed)
    }

    /// Revokes the API key of this id, at once and for good.
    pub async fn revoke_api_key(&self, id: impl Into<String>) -> Result<RevokeApiKeyResponse, Error> {
        self.0.unary(RevokeApiKeyRequest { id: id.into() }, by!(revoke_api_key)).await
    }

    /// Gives the API key of a request's id a new secret, which only this reply shows. Sent once: a second time would end the overlap of
    /// the present secret.
    pub async fn rotate_api_key(&self, request: RotateApiKeyRequest) -> Result<RotateApiKeyResponse, Error> {
        self.0.unary(request, by!(rotate_api_key)).await
    }

    /// Creates a role. Sent once: a second time would be refused because the role exists.
    pub async fn create_role(&self, request: CreateRoleRequest) -> Result<CreateRoleResponse, Error> {
        self.0.unary(request, by!(create_role)).await
    }

    /// Lists all roles: first the built-in ones, then the others by name.
    pub async fn list_roles(&self) -> Result<ListRolesResponse, Error> {
        self.0.unary(ListRolesRequest {}, by!(list_roles)).await
    }

    /// Deletes the role of this name. Sent once: a second time would be refused because the role is gone.
    pub async fn delete_role(&self, name: impl Into<String>) -> Result<DeleteRoleResponse, Error> {
        self.0.unary(DeleteRoleRequest { name: name.into() }, by!(delete_role)).await
    }

    /// Creates a binding.
    pub async fn create_binding(
        &self,
        request: CreateBindingRequest,
    ) -> Result<CreateBindingResponse, Error> {
        self.0.unary(request, by!(create_binding)).await
    }

    /// Lists the bindings that the request asks for and that the caller manages, the oldest first. Follows the pages to the last one:
    /// the revision is that of the first page.
    pub async fn list_bindings(
        &self,
        mut request: ListBindingsRequest,
    ) -> Result<ListBindingsResponse, Error> {
        request.limit = request.limit.or(Some(1000));
        let mut listed = self.0.unary(request.clone(), by!(list_bindings)).await?;
        while !listed.next_page_token.is_empty() {
            request.page_token = std::mem::take(&mut listed.next_page_token);
            let mut page = self.0.unary(request.clone(), by!(list_bindings)).await?;
            listed.items.append(&mut page.items);
            listed.next_page_token = page.next_page_token;
        }
        Ok(listed)
    }

    /// Deletes the binding of this id. Sent once: a second time would be refused because the binding is gone.
    pub async fn delete_binding(&self, id: impl Into<String>) -> Result<DeleteBindingResponse, Error> {
        self.0.unary(DeleteBindingRequest { id: id.into() }, by!(delete_binding)).await
    }

    /// Asks whether a principal has a right, and why.
    pub async fn explain(&self, request: ExplainAccessRequest) -> Result<ExplainAccessResponse, Error> {
        self.0.unary(request, by!(explain_access)).await
    }

    /// Asks who the service takes the caller for, and what the caller may do.
    pub async fn who_am_i(&self) -> Result<WhoAmIResponse, Error> {
        self.0.unary(WhoAmIRequest {}, by!(who_am_i)).await
    }
}

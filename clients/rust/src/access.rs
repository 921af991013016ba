//! API keys: `strongroom.v1.AccessService`.

use crate::client::{Client, MAX_REPLY, Transport};
use crate::error::Error;
use crate::v1::access_service_client::AccessServiceClient;
use crate::v1::{
    CreateApiKeyRequest, CreateApiKeyResponse, ListApiKeysRequest, ListApiKeysResponse, RevokeApiKeyRequest,
    RevokeApiKeyResponse, WhoAmIRequest, WhoAmIResponse,
};

/// The API keys of a service; see [`Client::access`].
#[derive(Clone, Debug)]
pub struct Access(pub(crate) Client);

/// Sends a request by the stub's method of this name.
macro_rules! by {
    ($method:ident) => {
        |transport, request| async move { stub(transport).$method(request).await }
    };
}

fn stub(transport: Transport) -> AccessServiceClient<Transport> {
    AccessServiceClient::new(transport).max_decoding_message_size(MAX_REPLY)
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

    /// Asks who the service takes the caller for, and what the caller may do.
    pub async fn who_am_i(&self) -> Result<WhoAmIResponse, Error> {
        self.0.unary(WhoAmIRequest {}, by!(who_am_i)).await
    }
}

//! Secrets and their versions: `strongroom.v1.SecretService`.

use crate::client::{Client, Replies, Transport};
use crate::error::Error;
use crate::outgoing::Outgoing;
use crate::v1::secret_service_client::SecretServiceClient;
use crate::v1::{
    AcknowledgeVersionRequest, AcknowledgeVersionResponse, BatchGetSecretsRequest, BatchGetSecretsResponse,
    ClaimRotationRequest, ClaimRotationResponse, CreateSecretRequest, CreateSecretResponse,
    DeleteSecretRequest, DeleteSecretResponse, DestroyVersionRequest, DestroyVersionResponse,
    DisableVersionRequest, DisableVersionResponse, EnableVersionRequest, EnableVersionResponse,
    GetSecretRequest, GetSecretResponse, ListNamespacesRequest, ListNamespacesResponse,
    ListSecretVersionsRequest, ListSecretVersionsResponse, ListSecretsRequest, ListSecretsResponse,
    PromoteVersionRequest, PromoteVersionResponse, ReleaseRotationRequest, ReleaseRotationResponse,
    RotateSecretRequest, RotateSecretResponse, UndeleteSecretRequest, UndeleteSecretResponse,
    UpdateSecretRequest, UpdateSecretResponse, WatchSecretsRequest, WatchSecretsResponse,
};
use crate::watch::Watch;

/// The secrets of a service; see [`Client::secrets`].
///
/// Each method sends one request. The messages in [`v1`](crate::v1) document their fields.
#[derive(Clone, Debug)]
pub struct Secrets(pub(crate) Client);

/// Sends a request by the stub's method of this name.
macro_rules! by {
    ($method:ident) => {
        |transport, request| async move { stub(transport).$method(request).await }
    };
}

fn stub(transport: Transport) -> SecretServiceClient<Transport> {
    SecretServiceClient::new(transport)
}

impl Secrets {
    /// Creates a secret with its first version.
    pub async fn create(&self, request: CreateSecretRequest) -> Result<CreateSecretResponse, Error> {
        self.0.unary(request, by!(create_secret)).await
    }

    /// Gets a secret with its value. A name alone asks for the current version.
    pub async fn get(&self, request: impl Into<GetSecretRequest>) -> Result<GetSecretResponse, Error> {
        self.0.unary(request.into(), by!(get_secret)).await
    }

    /// Gets several secrets of a namespace with their values, all as they were at one revision.
    ///
    /// The call succeeds also where some of them cannot be returned: [`BatchGetSecretsItem::secret`] says so for each.
    ///
    /// [`BatchGetSecretsItem::secret`]: crate::v1::BatchGetSecretsItem::secret
    pub async fn batch_get(&self, request: BatchGetSecretsRequest) -> Result<BatchGetSecretsResponse, Error> {
        self.0.unary(request, by!(batch_get_secrets)).await
    }

    /// Lists one page of secrets, without their values.
    pub async fn list(&self, request: ListSecretsRequest) -> Result<ListSecretsResponse, Error> {
        self.0.unary(request, by!(list_secrets)).await
    }

    /// Lists secrets page by page, from the page that the request names to the last.
    pub fn pages(&self, request: ListSecretsRequest) -> Pages {
        Pages { secrets: self.clone(), next: Some(request) }
    }

    /// Lists one page of the namespaces in which the caller may list secrets.
    pub async fn list_namespaces(
        &self,
        request: ListNamespacesRequest,
    ) -> Result<ListNamespacesResponse, Error> {
        self.0.unary(request, by!(list_namespaces)).await
    }

    /// Changes the fields of a secret that the request names. A new value becomes a new version.
    pub async fn update(&self, request: UpdateSecretRequest) -> Result<UpdateSecretResponse, Error> {
        self.0.unary(request, by!(update_secret)).await
    }

    /// Deletes a secret and all its versions. Until `purge_at` of the reply, [`undelete`](Self::undelete) brings it back.
    pub async fn delete(
        &self,
        request: impl Into<DeleteSecretRequest>,
    ) -> Result<DeleteSecretResponse, Error> {
        self.0.unary(request.into(), by!(delete_secret)).await
    }

    /// Brings a deleted secret back, with all its versions. It is named by its id.
    pub async fn undelete(&self, request: UndeleteSecretRequest) -> Result<UndeleteSecretResponse, Error> {
        self.0.unary(request, by!(undelete_secret)).await
    }

    /// Gives a secret a new value in one step: the caller's, or one that the service generates. With `stage`, the new version
    /// stays pending until [`promote`](Self::promote).
    pub async fn rotate(&self, request: RotateSecretRequest) -> Result<RotateSecretResponse, Error> {
        self.0.unary(request, by!(rotate_secret)).await
    }

    /// Makes a pending version, or an older enabled one, the current version.
    pub async fn promote(&self, request: PromoteVersionRequest) -> Result<PromoteVersionResponse, Error> {
        self.0.unary(request, by!(promote_version)).await
    }

    /// Notes that a consumer now uses a version.
    pub async fn acknowledge(
        &self,
        request: AcknowledgeVersionRequest,
    ) -> Result<AcknowledgeVersionResponse, Error> {
        self.0.unary(request, by!(acknowledge_version)).await
    }

    /// Takes a rotation that is due, under a lease. It is never sent twice: a claim whose reply is lost ends with its lease.
    pub async fn claim_rotation(
        &self,
        request: ClaimRotationRequest,
    ) -> Result<ClaimRotationResponse, Error> {
        self.0.unary(request, by!(claim_rotation)).await
    }

    /// Gives a claimed rotation back, with the error where it failed. It is never sent twice.
    pub async fn release_rotation(
        &self,
        request: ReleaseRotationRequest,
    ) -> Result<ReleaseRotationResponse, Error> {
        self.0.unary(request, by!(release_rotation)).await
    }

    /// Watches the changes of a namespace's secrets. Nothing is sent before the first [`Watch::next`].
    pub fn watch(&self, request: WatchSecretsRequest) -> Watch {
        Watch::new(self.clone(), request)
    }

    /// Opens one stream of a watch.
    pub(crate) async fn open_watch(
        &self,
        mut request: WatchSecretsRequest,
    ) -> Result<Replies<WatchSecretsResponse>, Error> {
        request.complete(self.0.namespace());
        let open = |transport| {
            let request = request.clone();
            async move { stub(transport).watch_secrets(request).await }
        };
        self.0.stream_again(open).await
    }

    /// Lists the versions of a secret, the newest first, without their values.
    pub async fn versions(
        &self,
        request: impl Into<ListSecretVersionsRequest>,
    ) -> Result<ListSecretVersionsResponse, Error> {
        self.0.unary(request.into(), by!(list_secret_versions)).await
    }

    /// Disables a version, so that its value cannot be read until it is enabled again.
    pub async fn disable_version(
        &self,
        request: DisableVersionRequest,
    ) -> Result<DisableVersionResponse, Error> {
        self.0.unary(request, by!(disable_version)).await
    }

    /// Enables a disabled version.
    pub async fn enable_version(
        &self,
        request: EnableVersionRequest,
    ) -> Result<EnableVersionResponse, Error> {
        self.0.unary(request, by!(enable_version)).await
    }

    /// Destroys a version and its key, for good. The reply has the service's signed receipt.
    pub async fn destroy_version(
        &self,
        request: DestroyVersionRequest,
    ) -> Result<DestroyVersionResponse, Error> {
        self.0.unary(request, by!(destroy_version)).await
    }
}

/// The pages of a list; see [`Secrets::pages`].
#[derive(Clone, Debug)]
pub struct Pages {
    secrets: Secrets,
    /// The request of the next page.
    next: Option<ListSecretsRequest>,
}

impl Pages {
    /// The next page; `None` after the last one. After an error, the next call asks for the same page.
    pub async fn next(&mut self) -> Result<Option<ListSecretsResponse>, Error> {
        let Some(request) = &self.next else { return Ok(None) };
        let page = self.secrets.list(request.clone()).await?;
        let last = page.next_page_token.is_empty();
        self.next = self.next.take().filter(|_| !last).map(|request| ListSecretsRequest {
            page_token: page.next_page_token.clone(),
            offset: None, // the token says where the page begins
            ..request
        });
        Ok(Some(page))
    }
}

macro_rules! from_a_name {
    ($($request:ident)*) => { $(
        /// The request about the secret of this name.
        impl From<&str> for $request {
            fn from(name: &str) -> Self {
                Self { name: name.to_owned(), ..Self::default() }
            }
        }
    )* };
}

from_a_name! { GetSecretRequest DeleteSecretRequest ListSecretVersionsRequest }

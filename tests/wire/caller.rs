//! Callers of a server: a connection, a credential, and the calls that most tests need.

use std::time::Duration;

use strongroom::api::v1::access_service_client::AccessServiceClient;
use strongroom::api::v1::audit_service_client::AuditServiceClient;
use strongroom::api::v1::operator_service_client::OperatorServiceClient;
use strongroom::api::v1::reference_service_client::ReferenceServiceClient;
use strongroom::api::v1::secret_service_client::SecretServiceClient;
use strongroom::api::v1::{
    ApiKey, CreateApiKeyRequest, CreateSecretRequest, DestroyVersionResponse, DisableVersionResponse,
    EnableVersionResponse, GetSecretRequest, GetStatusRequest, LimitUse, ListSecretVersionsRequest,
    ListSecretsRequest, ListSecretsResponse, Secret, SecretVersion, UpdateSecretRequest,
};
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::harness::{PATIENCE, Server, shared};
use crate::requests::{self, Value};

/// A test's own namespace on a server, with an ordinary API key whose home it is.
pub struct Room {
    /// Calls with the ordinary key, so an empty `namespace` means its home.
    pub caller: Caller,
    /// Calls with the server's root key.
    pub root: Caller,
    pub namespace: String,
    pub key: ApiKey,
}

impl Room {
    pub async fn open() -> Self {
        Self::on(shared()).await
    }

    pub async fn on(server: &Server) -> Self {
        Self::of(Caller::root(server).await).await
    }

    /// A room on the server of a caller with the root key.
    pub async fn of(root: Caller) -> Self {
        let namespace = format!("t-{}", Uuid::new_v4());
        let (key, caller) = root.make_key("a test", &namespace).await;
        Self { caller, root, namespace, key }
    }
}

/// Most tests call with the ordinary key.
impl std::ops::Deref for Room {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

#[derive(Clone)]
pub struct Caller {
    channel: Channel,
    credential: Credential,
}

pub type Secrets = SecretServiceClient<InterceptedService<Channel, Credential>>;
pub type Access = AccessServiceClient<InterceptedService<Channel, Credential>>;
pub type References = ReferenceServiceClient<InterceptedService<Channel, Credential>>;
pub type Audit = AuditServiceClient<InterceptedService<Channel, Credential>>;
pub type Operator = OperatorServiceClient<InterceptedService<Channel, Credential>>;

/// The headers that a caller sends with each request.
#[derive(Clone, Default)]
pub struct Credential(Vec<(&'static str, AsciiMetadataValue)>);

impl Credential {
    pub fn header(name: &'static str, value: &str) -> Self {
        Self(vec![(name, value.parse().expect("a header value"))])
    }

    pub fn bearer(key: &str) -> Self {
        Self::header("authorization", &format!("Bearer {key}"))
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().insert(*name, value.clone());
        }
        Ok(request)
    }
}

impl Caller {
    pub async fn new(server: &Server, credential: Credential) -> Self {
        let channel = endpoint(&server.url).connect().await.expect("the server accepts connections");
        Self { channel, credential }
    }

    pub fn over(channel: Channel, credential: Credential) -> Self {
        Self { channel, credential }
    }

    pub async fn root(server: &Server) -> Self {
        Self::new(server, Credential::bearer(&server.root_key)).await
    }

    /// The same connection with another credential.
    pub fn with(&self, credential: Credential) -> Self {
        Self { channel: self.channel.clone(), credential }
    }

    /// The same credential over a connection to another server.
    pub async fn at(&self, server: &Server) -> Self {
        Self::new(server, self.credential.clone()).await
    }

    pub fn secrets(&self) -> Secrets {
        SecretServiceClient::with_interceptor(self.channel.clone(), self.credential.clone())
    }

    pub fn access(&self) -> Access {
        AccessServiceClient::with_interceptor(self.channel.clone(), self.credential.clone())
    }

    pub fn operator(&self) -> Operator {
        OperatorServiceClient::with_interceptor(self.channel.clone(), self.credential.clone())
    }

    pub fn audit(&self) -> Audit {
        AuditServiceClient::with_interceptor(self.channel.clone(), self.credential.clone())
    }

    pub fn references(&self) -> References {
        ReferenceServiceClient::with_interceptor(self.channel.clone(), self.credential.clone())
    }

    /// Makes an API key, and a caller that uses it over the same connection.
    pub async fn make_key(&self, name: &str, home_namespace: &str) -> (ApiKey, Self) {
        let request = CreateApiKeyRequest {
            name: name.into(),
            home_namespace: home_namespace.into(),
            ..Default::default()
        };
        let made = self.access().create_api_key(request).await.expect("the API key is made").into_inner();
        (made.api_key.expect("a reply has the key"), self.with(Credential::bearer(&made.credential)))
    }

    pub async fn create(&self, name: &str, value: &str) -> Secret {
        self.create_with(requests::create(name, value)).await
    }

    pub async fn create_with(&self, request: CreateSecretRequest) -> Secret {
        let name = request.name.clone();
        let reply = self.secrets().create_secret(request).await;
        secret(reply.unwrap_or_else(|refusal| panic!("{name:?} is created: {refusal:?}")).into_inner().secret)
    }

    pub async fn get(&self, name: &str) -> Secret {
        let reply = self.secrets().get_secret(requests::get(name)).await;
        secret(reply.unwrap_or_else(|refusal| panic!("{name:?} is there: {refusal:?}")).into_inner().secret)
    }

    pub async fn value(&self, name: &str) -> Value {
        Value::of(&self.get(name).await)
    }

    pub async fn update(&self, request: UpdateSecretRequest) -> Secret {
        let name = request.name.clone();
        let reply = self.secrets().update_secret(request).await;
        secret(reply.unwrap_or_else(|refusal| panic!("{name:?} is updated: {refusal:?}")).into_inner().secret)
    }

    pub async fn rotate(&self, name: &str, value: &str) -> Secret {
        let reply = self.secrets().rotate_secret(requests::rotate(name, value)).await;
        secret(reply.unwrap_or_else(|refusal| panic!("{name:?} is rotated: {refusal:?}")).into_inner().secret)
    }

    /// The value of a version.
    pub async fn version(&self, name: &str, number: u32) -> Value {
        let request = GetSecretRequest { version: Some(number), ..requests::get(name) };
        let reply = self.secrets().get_secret(request).await;
        let reply = reply.unwrap_or_else(|refusal| panic!("{name:?} has {number}: {refusal:?}")).into_inner();
        assert_eq!(reply.version, number);
        Value::of(&secret(reply.secret))
    }

    /// The versions of a secret, newest first.
    pub async fn versions(&self, name: &str) -> Vec<SecretVersion> {
        let request = ListSecretVersionsRequest { name: name.into(), ..Default::default() };
        let reply = self.secrets().list_secret_versions(request).await;
        reply.unwrap_or_else(|refusal| panic!("{name:?} is there: {refusal:?}")).into_inner().versions
    }

    pub async fn disable(&self, name: &str, version: u32) -> DisableVersionResponse {
        let reply = self.secrets().disable_version(requests::disable(name, version)).await;
        reply.unwrap_or_else(|refusal| panic!("{name:?} {version} is disabled: {refusal:?}")).into_inner()
    }

    pub async fn enable(&self, name: &str, version: u32) -> EnableVersionResponse {
        let reply = self.secrets().enable_version(requests::enable(name, version)).await;
        reply.unwrap_or_else(|refusal| panic!("{name:?} {version} is enabled: {refusal:?}")).into_inner()
    }

    pub async fn destroy(&self, name: &str, version: u32) -> DestroyVersionResponse {
        let reply = self.secrets().destroy_version(requests::destroy(name, version)).await;
        reply.unwrap_or_else(|refusal| panic!("{name:?} {version} is destroyed: {refusal:?}")).into_inner()
    }

    pub async fn delete(&self, name: &str) {
        let reply = self.secrets().delete_secret(requests::delete(name)).await;
        reply.unwrap_or_else(|refusal| panic!("{name:?} is deleted: {refusal:?}"));
    }

    pub async fn list(&self, request: ListSecretsRequest) -> ListSecretsResponse {
        let reply = self.secrets().list_secrets(request).await;
        reply.unwrap_or_else(|refusal| panic!("the list is given: {refusal:?}")).into_inner()
    }

    /// The names that a request lists on its first page.
    pub async fn names_of(&self, request: ListSecretsRequest) -> Vec<String> {
        names(&self.list(request).await)
    }

    /// How much of a limit is used.
    pub async fn limit(&self, name: &str) -> LimitUse {
        let status = self.operator().get_status(GetStatusRequest {}).await.expect("a status").into_inner();
        status.limits.into_iter().find(|usage| usage.name == name).expect(name)
    }

    pub async fn names(&self) -> Vec<String> {
        self.names_of(ListSecretsRequest { limit: Some(1000), ..Default::default() }).await
    }
}

pub fn endpoint(url: &str) -> Endpoint {
    Endpoint::from_shared(url.to_owned())
        .expect("a url")
        .connect_timeout(Duration::from_secs(10))
        .timeout(PATIENCE) // a server that hangs fails the test
}

/// The secret of a reply. Every reply of this kind has one.
pub fn secret(reply: Option<Secret>) -> Secret {
    reply.expect("a reply has the secret")
}

pub fn names(page: &ListSecretsResponse) -> Vec<String> {
    page.items.iter().map(|item| item.name.clone()).collect()
}

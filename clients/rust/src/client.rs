//! The client: one connection, over which every request gets its API key, deadline and retries.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::access::Access;
use crate::address::Address;
use crate::audit::Audit;
use crate::connect_error::ConnectError;
use crate::error::Error;
use crate::operator::Operator;
use crate::outgoing::Outgoing;
use crate::retry::{self, RetryPolicy};
use crate::secrets::Secrets;
use crate::settings::{Builder, Settings};
use crate::v1::reference_service_client::ReferenceServiceClient;
use crate::v1::{ResolveReferencesRequest, ResolveReferencesResponse};

/// The largest reply that is accepted, in bytes: far more than a page of 1,000 secrets.
pub(crate) const MAX_REPLY: usize = 64 << 20;

/// A connection to a service. Clones share it; each can be used from many tasks at once.
///
/// The next request makes a lost connection again. Every request has a deadline, and is sent again where that helps
/// ([`RetryPolicy`]). A request that names no namespace gets the client's.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    transport: Transport,
    address: Arc<Address>,
    namespace: Arc<str>,
    deadline: Duration,
    retry: RetryPolicy,
}

/// A channel that presents the API key with every request.
pub(crate) type Transport = InterceptedService<Channel, Credential>;

/// Presents the API key, where there is one.
#[derive(Clone)]
pub(crate) struct Credential(Option<MetadataValue<Ascii>>);

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

impl Client {
    /// Begins to set a client up.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Connects with the settings in the environment; [`Builder`] lists the variables.
    pub async fn from_environment() -> Result<Self, ConnectError> {
        Self::builder().or_environment().connect().await
    }

    /// A client over a channel.
    pub(crate) fn over(channel: Channel, settings: Settings) -> Self {
        let address = Arc::new(settings.address().clone());
        let namespace = settings.namespace().into();
        let Settings { header, deadline, retry, .. } = settings;
        let transport = InterceptedService::new(channel.clone(), Credential(header));
        Self { channel, transport, address, namespace, deadline, retry }
    }

    /// The same connection with another deadline for each request; see [`Builder::deadline`].
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Where the service is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The namespace of every request that names none; empty for the API key's home namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The connection, without the API key.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn retry(&self) -> RetryPolicy {
        self.retry
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Secrets and their versions.
    pub fn secrets(&self) -> Secrets {
        Secrets(self.clone())
    }

    /// API keys.
    pub fn access(&self) -> Access {
        Access(self.clone())
    }

    /// The audit log.
    pub fn audit(&self) -> Audit {
        Audit(self.clone())
    }

    /// The service itself: its state, backups and keys.
    pub fn operator(&self) -> Operator {
        Operator(self.clone())
    }

    /// Replaces the references in a document by the values that they refer to: all of them, at one moment, or none.
    pub async fn resolve(
        &self,
        request: ResolveReferencesRequest,
    ) -> Result<ResolveReferencesResponse, Error> {
        self.unary(request, |transport, request| async move {
            let mut stub = ReferenceServiceClient::new(transport).max_decoding_message_size(MAX_REPLY);
            stub.resolve_references(request).await
        })
        .await
    }

    /// Sends a request, again where that helps, within the client's deadline.
    pub(crate) async fn unary<M, R, Sent>(
        &self,
        mut message: M,
        send: impl Fn(Transport, Request<M>) -> Sent,
    ) -> Result<R, Error>
    where
        M: Outgoing,
        Sent: Future<Output = Result<Response<R>, Status>>,
    {
        message.complete(&self.namespace);
        let request_id = message.request_id().cloned();
        let policy = if M::REPEATABLE { self.retry } else { RetryPolicy::NEVER };
        let attempt = |left| {
            let mut request = Request::new(message.clone());
            request.set_timeout(left);
            let sent = send(self.transport.clone(), request);
            async { Ok(sent.await?.into_inner()) }
        };
        let outcome = retry::within(self.deadline, policy, attempt).await;
        outcome.map_err(|error| error.of_request(request_id))
    }

    /// Opens a stream of replies, once and within the client's deadline. The stream itself may take any time.
    pub(crate) async fn stream<R>(
        &self,
        open: impl AsyncFnOnce(Transport) -> Result<Response<Streaming<R>>, Status>,
    ) -> Result<Replies<R>, Error> {
        match tokio::time::timeout(self.deadline, open(self.transport.clone())).await {
            Ok(opened) => Ok(Replies(opened?.into_inner())),
            Err(_) => Err(Error::no_answer_within(self.deadline)),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address.to_string())
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A stream of replies to one request. Drop it to receive no more.
pub struct Replies<R>(Streaming<R>);

impl<R> Replies<R> {
    /// The next reply; `None` behind the last one. An error ends the stream.
    pub async fn next(&mut self) -> Result<Option<R>, Error> {
        Ok(self.0.message().await?)
    }
}

impl<R> fmt::Debug for Replies<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{CreateBackupResponse, RotateNamespaceKeysRequest, WatchSecretsRequest};

    /// Compiles only where every method's future can move to another thread.
    #[allow(dead_code)]
    fn requests_can_be_made_from_any_task(
        client: &'static Client,
        mut replies: Replies<CreateBackupResponse>,
    ) {
        fn send<T: Send + 'static>(_: T) {}
        let (secrets, operator) = (client.secrets(), client.operator());
        send(async move { secrets.get("a").await });
        send(async move { operator.rotate_namespace_keys(RotateNamespaceKeysRequest::default()).await });
        send(async move { replies.next().await });
        let mut watch = client.secrets().watch(WatchSecretsRequest::default());
        send(async move { watch.next().await });
        send(client.is_serving());
    }
}

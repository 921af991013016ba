//! The client: connections to the servers, over which every request gets its credential, deadline and repeats.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::access::Access;
use crate::address::Address;
use crate::audit::Audit;
use crate::builder::Builder;
use crate::connect_error::ConnectError;
use crate::credential::{Credential, Header};
use crate::error::Error;
use crate::explain::call_of;
use crate::operator::Operator;
use crate::outgoing::Outgoing;
use crate::pool::{Picked, Pool};
use crate::references::References;
use crate::retry::{Attempts, RetryPolicy};
use crate::secrets::Secrets;
use crate::settings::Settings;

/// A client of a service. Clones share its connections; each can be used from many tasks at once.
///
/// It has a method for each call, such as [`get`](Self::get), and [`secrets`](Self::secrets) and the like for the bare messages of
/// the service. Every request has a deadline, and is sent again where that helps ([`RetryPolicy`]). A request that names no namespace
/// gets the client's. A lost connection is made again.
#[derive(Clone)]
pub struct Client {
    link: Arc<Link>,
    namespace: Arc<str>,
    deadline: Duration,
}

/// What a client and its clones share.
pub(crate) struct Link {
    pub(crate) pool: Pool,
    pub(crate) credential: Credential,
    address: Address,
    retry: RetryPolicy,
    /// Whether the client is closed.
    closed: watch::Sender<bool>,
}

/// A channel that presents the credential with every request.
pub(crate) type Transport = InterceptedService<Channel, Presented>;

/// Presents the credential, where there is one.
#[derive(Clone)]
pub(crate) struct Presented(Option<Header>);

impl Interceptor for Presented {
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

    pub(crate) fn over(pool: Pool, settings: Settings) -> Self {
        let address = settings.address().clone();
        let namespace = settings.namespace().into();
        let Settings { credential, deadline, retry, .. } = settings;
        let closed = watch::Sender::new(false);
        Self { link: Arc::new(Link { pool, credential, address, retry, closed }), namespace, deadline }
    }

    /// The same client with another deadline for each request; see [`Builder::deadline`].
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The same client for another namespace; empty for the credential's home namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.into(), ..self.clone() }
    }

    /// Where the service is: the first address.
    pub fn address(&self) -> &Address {
        &self.link.address
    }

    /// The namespace of every request that names none; empty for the credential's home namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether the client can get another credential where the service refuses the present one: from the file that holds it, or from
    /// the function that returns tokens.
    pub fn renews_credential(&self) -> bool {
        self.link.credential.is_renewed()
    }

    /// Ends the calls, watches and caches of the client and of all its clones: what is under way, and what comes later, fails with
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed). The connections end with the last clone.
    pub fn close(&self) {
        self.link.closed.send_replace(true);
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn retry(&self) -> RetryPolicy {
        self.link.retry
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The bare messages about secrets and their versions.
    pub fn secrets(&self) -> Secrets {
        Secrets(self.clone())
    }

    /// API keys, roles and bindings.
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

    /// The bare messages about references in documents.
    pub fn references(&self) -> References {
        References(self.clone())
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
        let outcome = self.unless_closed(self.attempts(&message, send)).await;
        outcome
            .map_err(|error| self.explained(error.of_call(M::CHANGES), call_of::<M>()).of_request(request_id))
    }

    async fn attempts<M, R, Sent>(
        &self,
        message: &M,
        send: impl Fn(Transport, Request<M>) -> Sent,
    ) -> Result<R, Error>
    where
        M: Outgoing,
        Sent: Future<Output = Result<Response<R>, Status>>,
    {
        let mut attempts = Attempts::new(self.deadline, self.retry());
        let (mut renewed, mut moved, mut avoid) = (false, 0, None);
        loop {
            let mut used = Used::default();
            let attempt = async {
                let (picked, header) = self.link.ready(avoid).await?;
                used = Used { member: Some(picked.index), header: header.clone() };
                let mut request = Request::new(message.clone());
                request.set_timeout(attempts.left());
                let sent = send(InterceptedService::new(picked.channel, Presented(header)), request);
                Ok(sent.await?.into_inner())
            };
            let error = match attempts.within(attempt).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if error.code() == Code::Unauthenticated && !renewed {
                // The service has looked at nothing but the credential, so this attempt does not count.
                renewed = true;
                if attempts.within(self.link.renewed(&used)).await? {
                    continue;
                }
            }
            if !M::REPEATABLE && !error.was_not_sent() {
                return Err(error);
            }
            let failed = used.member.filter(|_| error.is_of_the_connection() && error.is_transient());
            match failed.filter(|failed| moved < 2 && self.link.pool.has_another(*failed)) {
                // A server that goes away costs an attempt, and no time.
                Some(failed) => (moved, avoid) = (moved + 1, Some(failed)),
                None => {
                    attempts.again(error).await?;
                    (moved, avoid) = (0, None);
                }
            }
        }
    }

    /// Opens a stream of replies, once and within the client's deadline. The stream itself may take any time. `changes`: whether the
    /// call is to change something.
    pub(crate) async fn stream<R>(
        &self,
        changes: bool,
        open: impl AsyncFnOnce(Transport) -> Result<Response<Streaming<R>>, Status>,
    ) -> Result<Replies<R>, Error> {
        let attempts = Attempts::new(self.deadline, RetryPolicy::NEVER);
        let opened = async {
            let (picked, header) = self.link.ready(None).await?;
            Ok(open(InterceptedService::new(picked.channel, Presented(header))).await?.into_inner())
        };
        let opened = self.unless_closed(attempts.within(opened)).await;
        self.opened(opened.map_err(|error| error.of_call(changes)))
    }

    /// Opens a stream of replies, and once more where the service refuses a credential that can be renewed.
    pub(crate) async fn stream_again<R, Opened>(
        &self,
        open: impl Fn(Transport) -> Opened,
    ) -> Result<Replies<R>, Error>
    where
        Opened: Future<Output = Result<Response<Streaming<R>>, Status>>,
    {
        let attempts = Attempts::new(self.deadline, RetryPolicy::NEVER);
        let opened = async {
            let (picked, header) = self.link.ready(None).await?;
            let first =
                open(InterceptedService::new(picked.channel.clone(), Presented(header.clone()))).await;
            let opened = match first {
                Err(refused)
                    if refused.code() == Code::Unauthenticated
                        && self.link.credential.renew(header.as_ref()).await =>
                {
                    let renewed = self.link.credential.current().await?;
                    open(InterceptedService::new(picked.channel, Presented(renewed))).await
                }
                first => first,
            };
            Ok(opened?.into_inner())
        };
        self.opened(self.unless_closed(attempts.within(opened)).await)
    }

    fn opened<R>(&self, opened: Result<Streaming<R>, Error>) -> Result<Replies<R>, Error> {
        let stream = opened.map_err(|error| self.explained(error, "the call"))?;
        Ok(Replies { stream, client: self.clone() })
    }

    /// The outcome of a call, unless the client is closed before.
    async fn unless_closed<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        if *self.link.closed.borrow() {
            return Err(Error::closed());
        }
        let mut closed = self.link.closed.subscribe();
        tokio::select! {
            biased;
            outcome = call => outcome,
            _ = closed.wait_for(|closed| *closed) => Err(Error::closed()),
        }
    }
}

/// What an attempt used.
#[derive(Default)]
struct Used {
    member: Option<usize>,
    header: Option<Header>,
}

impl Link {
    /// The server and the header for the next attempt.
    async fn ready(&self, avoid: Option<usize>) -> Result<(Picked, Option<Header>), Error> {
        let header = self.credential.current().await?;
        Ok((self.pool.pick(avoid).await, header))
    }

    /// Whether there is another credential than the one that was refused.
    async fn renewed(&self, used: &Used) -> Result<bool, Error> {
        Ok(self.credential.renew(used.header.as_ref()).await)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("addresses", &self.link.pool)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// A stream of replies to one request. Drop it to receive no more.
pub struct Replies<R> {
    stream: Streaming<R>,
    client: Client,
}

impl<R> Replies<R> {
    /// The next reply; `None` behind the last one. An error ends the stream.
    pub async fn next(&mut self) -> Result<Option<R>, Error> {
        let Self { stream, client } = self;
        let next = async { Ok(stream.message().await?) };
        client.unless_closed(next).await.map_err(|error| client.explained(error, "the call"))
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

//! The connection that requests come by, as the gate sees it. The server makes one for each connection and puts it among the
//! extensions of each of its requests; the gate tells it when a credential in force was presented.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use super::closing::Closing;
use super::overload::{Overload, Overloaded, UnreadRefusal};
use crate::auth::{CertificateProblem, ClientCertificate};

const LATE: &str = "the request took too long";

/// A connection: its peer, and what the gate and the server tell each other about it.
pub(crate) struct Connection {
    peer: SocketAddr,
    /// The number of requests at a time.
    most: usize,
    /// The number of requests to health and reflection at a time.
    most_open: usize,
    /// The client certificate that the peer has presented, if any.
    certificate: OnceLock<Result<Arc<ClientCertificate>, CertificateProblem>>,
    /// The number of those now.
    open: AtomicUsize,
    /// How many of those were refused, since there were so many.
    refused_open: AtomicU64,
    /// The number of other requests that wait for their answers.
    waiting: AtomicUsize,
    /// Set once a request was refused because the server has too much to do.
    overloaded: OnceLock<Overloaded>,
    authenticated: AtomicBool,
    closing: OnceLock<Closing>,
    changed: Notify,
}

impl Connection {
    /// A new connection of a peer. It may make `most` requests at a time, and `most_open` to health and reflection. Nothing else counts
    /// what the latter take, so a credential does not allow more of them.
    pub(crate) fn new(peer: SocketAddr, most: usize, most_open: usize) -> Self {
        Self {
            peer,
            most,
            most_open,
            certificate: OnceLock::new(),
            open: AtomicUsize::new(0),
            refused_open: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            overloaded: OnceLock::new(),
            authenticated: AtomicBool::new(false),
            closing: OnceLock::new(),
            changed: Notify::new(),
        }
    }

    /// The address of its peer.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Notes the client certificate that the peer has presented in its TLS handshake: one that is a credential, or what is wrong
    /// with it.
    pub(crate) fn present(&self, certificate: Result<ClientCertificate, CertificateProblem>) {
        let usable = certificate.is_ok();
        let _ = self.certificate.set(certificate.map(Arc::new)); // there is one handshake
        if usable {
            self.authenticate();
        }
    }

    /// The client certificate that the peer has presented.
    pub(super) fn certificate(&self) -> Option<&Result<Arc<ClientCertificate>, CertificateProblem>> {
        self.certificate.get()
    }

    /// Notes that a credential in force was presented on it.
    pub(super) fn authenticate(&self) {
        if !self.is_authenticated() && !self.authenticated.swap(true, Ordering::AcqRel) {
            self.changed.notify_one();
        }
    }

    /// Whether a credential in force was presented on it.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Acquire)
    }

    /// Asks the server to close it, whatever is under way on it. The first cause counts.
    pub(crate) fn close(&self, cause: Closing) {
        let _ = self.closing.set(cause);
        self.changed.notify_one();
    }

    /// Why the server is to close it, if it is.
    pub(crate) fn closing(&self) -> Option<Closing> {
        self.closing.get().copied()
    }

    /// Waits until it is authenticated or is to be closed. For one task alone.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Notes that another request waits for its answer.
    pub(super) fn begin(self: &Arc<Self>) -> WaitingRequest {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        WaitingRequest { connection: self.clone(), before }
    }

    /// Notes that a request was refused because the server has too much to do.
    pub(super) fn refused(&self, overload: &Arc<Overload>) {
        self.overloaded.get_or_init(|| Overloaded::new(overload)).refused();
    }

    /// Notes how long the caller of a request waits.
    pub(super) fn note(&self, patience: Duration) {
        if let Some(overloaded) = self.overloaded.get() {
            overloaded.note(patience);
        }
    }

    /// Whether many of its requests were refused because the server has too much to do.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.overloaded.get().is_some_and(Overloaded::is_many)
    }

    /// How many of its requests wait for their answers, with those to health and reflection.
    pub(crate) fn requests(&self) -> usize {
        self.waiting.load(Ordering::Relaxed).saturating_add(self.open_requests())
    }

    /// How many requests to health and reflection are under way on it.
    pub(crate) fn open_requests(&self) -> usize {
        self.open.load(Ordering::Relaxed).min(self.most_open) // one that is refused counts for a moment
    }

    /// How many of those were refused, since there were so many.
    pub(crate) fn refused_open(&self) -> u64 {
        self.refused_open.load(Ordering::Relaxed)
    }

    /// How many requests it may make at a time.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Whether a further request is to be refused before it is read, since it would wait too long. One request may always wait.
    pub(crate) fn is_to_refuse_unread(&self, unseen: usize) -> bool {
        let before = self.waiting.load(Ordering::Relaxed).saturating_add(unseen);
        before > 0 && self.overloaded.get().is_some_and(|overloaded| overloaded.is_too_long(unseen))
    }

    /// A refusal for requests that are not read, and its headers. `None`: none of its requests was refused by the gate.
    pub(crate) fn refuse_unread(&self) -> Option<(UnreadRefusal, HeaderMap)> {
        Some(self.overloaded.get()?.refuse_unread(self.peer))
    }

    /// Begins a request to health or reflection, if there may be one more.
    pub(super) fn begin_open(self: &Arc<Self>) -> Option<OpenRequest> {
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        let begun = OpenRequest(self.clone());
        if before >= self.most_open {
            self.refused_open.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(begun)
    }
}

/// A request that waits for its answer.
pub(crate) struct WaitingRequest {
    connection: Arc<Connection>,
    /// How many others of the connection waited when this one arrived.
    before: usize,
}

impl WaitingRequest {
    /// Whether another request of the connection waited when this one arrived.
    pub(super) fn is_further(&self) -> bool {
        self.before > 0
    }
}

impl Drop for WaitingRequest {
    fn drop(&mut self) {
        self.connection.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request to health or reflection that is under way on a connection.
pub(crate) struct OpenRequest(Arc<Connection>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of the answer to such a request: the request is under way until its end.
struct OpenBody {
    body: Body,
    /// The time at which it ends by itself, where there is one.
    end: Option<Pin<Box<Sleep>>>,
    _request: Option<OpenRequest>,
}

impl OpenRequest {
    /// The same body, which keeps the request under way until its end: after this time, where there is one.
    pub(super) fn with(request: Option<Self>, body: Body, time: Option<Duration>) -> Body {
        let end = time.map(|time| Box::pin(sleep(time)));
        Body::new(OpenBody { body, end, _request: request })
    }
}

impl http_body::Body for OpenBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(context).is_ready()
        {
            // The library resets the stream at an error, which also ends the messages that the peer has still to send.
            self.body = Body::empty();
            self.end = None;
            return Poll::Ready(Some(Err(Status::deadline_exceeded(LATE))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::time::timeout;
    use tonic::Code;

    use super::*;
    use crate::auth::ClientAuthorities;
    use crate::domain::now;

    #[test]
    fn a_connection_has_few_open_requests_though_it_is_authenticated() {
        let connection = Arc::new(Connection::new((Ipv4Addr::LOCALHOST, 1).into(), 10, 2));
        let [first, second] = [(); 2].map(|()| connection.begin_open().unwrap());
        assert!(connection.begin_open().is_none());
        drop(first);
        let third = connection.begin_open().unwrap();
        assert!(connection.begin_open().is_none());
        connection.authenticate();
        assert!(connection.begin_open().is_none());
        drop((second, third));
        assert_eq!(connection.open.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn a_certificate_that_is_a_credential_authenticates_its_connection() {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authorities = ClientAuthorities::parse(authority.pem().as_bytes(), now()).unwrap();
        let params = CertificateParams::new(["a.example.org".to_owned()]).unwrap();
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();

        let connection = Connection::new((Ipv4Addr::LOCALHOST, 1).into(), 10, 2);
        connection.present(Err(CertificateProblem::NoName));
        assert!(!connection.is_authenticated() && matches!(connection.certificate(), Some(Err(_))));
        let connection = Connection::new((Ipv4Addr::LOCALHOST, 1).into(), 10, 2);
        assert!(connection.certificate().is_none());
        connection.present(authorities.verify(&[certificate.der().clone()], now()));
        assert!(connection.is_authenticated() && matches!(connection.certificate(), Some(Ok(_))));
        connection.changed().await;
    }

    /// A body that has nothing to say.
    struct Silent;

    impl http_body::Body for Silent {
        type Data = <Body as http_body::Body>::Data;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_an_open_request_ends_at_its_time() {
        let answer = |time| OpenRequest::with(None, Body::new(Silent), time);
        async fn frame(body: &mut Body) -> Option<Result<(), Status>> {
            let frame = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut *body), context)).await;
            frame.map(|frame| frame.map(drop))
        }
        let mut bounded = answer(Some(Duration::from_secs(30)));
        assert_eq!(frame(&mut bounded).await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
        assert!(frame(&mut bounded).await.is_none());
        let mut watched = answer(None);
        assert!(timeout(Duration::from_secs(3600), frame(&mut watched)).await.is_err());
    }
}

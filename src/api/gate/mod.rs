//! The gate stands before the handlers: every request passes its layers, and every answer passes them on its way back. Each
//! layer has one concern and one file.

mod admit;
mod audit;
mod authentication;
mod body;
mod confirmation;
mod deadline;
mod handlers;
mod in_flight;
mod panics;
mod task;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Timeout, timeout};
use tonic::body::Body;
use tower::{Layer, Service, ServiceBuilder};
use uuid::Uuid;

use self::admit::Admit;
use self::audit::Audit;
use self::authentication::Authentication;
use self::confirmation::Confirmation;
use self::deadline::{Deadline, InTime, Limit, MAX_TIME};
use self::handlers::Handlers;
pub(crate) use self::in_flight::InFlight;
use self::panics::CatchPanic;
use self::task::{OwnTask, Spawned};
use super::error::Refusal;
use super::request::{AuditEntry, Call};
use super::strongroom_v1::rpcs;
use super::strongroom_v1::status::response;
use crate::app::{App, Error};
use crate::audit::Auditor;

/// The services that anyone may call: health and reflection.
const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The address of the peer that a request came from, among the request's extensions.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The layer that every request passes. Requests to health and reflection are let through as they are.
#[derive(Clone)]
pub(crate) struct Gate {
    app: Arc<App>,
    auditor: Arc<dyn Auditor>,
    in_flight: InFlight,
}

impl Gate {
    /// The gate before an app. It counts the requests that are being answered.
    pub(crate) fn new(app: Arc<App>, auditor: Arc<dyn Auditor>, in_flight: InFlight) -> Self {
        Self { app, auditor, in_flight }
    }

    /// The layers, in the order in which a request passes them.
    fn layers<S>(&self, handlers: S) -> Layers<S> {
        ServiceBuilder::new()
            // Outside of the task, so that it can answer while the task goes on.
            .layer_fn(Deadline::new)
            // From here on, a request is served to its end though the caller hangs up.
            .layer_fn(|inner| OwnTask::new(self.in_flight.clone(), inner))
            // Records the answers of all layers below, refusals and panics too.
            .layer_fn(|inner| Audit::new(self.app.clone(), inner))
            // Nothing below sees a request whose caller is not known.
            .layer_fn(|inner| Authentication::new(self.app.clone(), inner))
            // Nothing below sees a request that there is no room for.
            .layer_fn(|inner| Admit::new(self.app.clone(), inner))
            // Outside of everything that can wait.
            .layer_fn(|inner| Confirmation::new(self.app.clone(), inner))
            .layer_fn(CatchPanic::new)
            .layer_fn(Limit::new)
            .layer_fn(Handlers::new)
            .service(handlers)
    }
}

type Layers<S> =
    Deadline<OwnTask<Audit<Authentication<Admit<Confirmation<CatchPanic<Limit<Handlers<S>>>>>>>>>;

/// A request that has arrived.
struct Arrived {
    entry: Arc<AuditEntry>,
    /// When its time is up.
    until: Instant,
    http: Request<Body>,
}

/// A request whose caller is known.
struct Admitted {
    call: Call,
    until: Instant,
    http: Request<Body>,
}

/// The answer of each layer.
type Answer = Result<Response<Body>, Infallible>;

impl<S: Clone> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { auditor: self.auditor.clone(), open: inner.clone(), layers: self.layers(inner) }
    }
}

/// Services behind the gate.
#[derive(Clone)]
pub(crate) struct Gated<S> {
    auditor: Arc<dyn Auditor>,
    open: S,
    layers: Layers<S>,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self.open.poll_ready(context) {
            Poll::Ready(Ok(())) => self.layers.poll_ready(context),
            other => other,
        }
    }

    fn call(&mut self, http: Request<Body>) -> Self::Future {
        let path = http.uri().path();
        if OPEN.iter().any(|service| path.starts_with(service)) {
            return Answering::Open { answer: timeout(MAX_TIME, self.open.call(http)) };
        }
        let peer = http.extensions().get::<Peer>().map(|Peer(address)| *address);
        let id = Uuid::now_v7().to_string().into();
        let given_id = caller_request_id(http.headers());
        let entry = AuditEntry::new(rpcs::of_path(path), id, given_id, peer, self.auditor.clone());
        let arrived = Arrived { entry: Arc::new(entry), until: Instant::now() + MAX_TIME, http };
        Answering::Gated { answer: self.layers.call(arrived) }
    }
}

pin_project! {
    /// The answer to a request.
    #[project = AnsweringPart]
    pub(crate) enum Answering<O> {
        Open {
            #[pin]
            answer: Timeout<O>,
        },
        Gated {
            #[pin]
            answer: InTime<Spawned>,
        },
    }
}

impl<O: Future<Output = Answer>> Future for Answering<O> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match self.project() {
            AnsweringPart::Open { answer } => {
                let answered = ready!(answer.poll(context));
                // An open request has no id in the log.
                Poll::Ready(answered.unwrap_or_else(|_elapsed| Ok(response(Refusal::late(), ""))))
            }
            AnsweringPart::Gated { answer } => answer.poll(context),
        }
    }
}

/// The caller's own id of the request, where it sends one that is at most 128 visible characters of ASCII.
fn caller_request_id(headers: &HeaderMap) -> Option<Box<str>> {
    let given = headers.get("x-request-id")?.to_str().ok()?;
    let fits = (1..=128).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| given.into())
}

/// The refusal of a caller whose key is not in force any more.
fn refusal(entry: &AuditEntry, ended: &Error) -> Response<Body> {
    let refusal = Refusal::from(ended);
    let changes = entry.rpc.is_some_and(|rpc| rpc.changes);
    response(if changes { refusal.of_a_change() } else { refusal }, &entry.request_id)
}

#[cfg(test)]
mod tests;

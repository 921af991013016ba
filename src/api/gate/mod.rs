//! The gate stands before the handlers: every request passes its layers, and every answer passes them on its way back. Each
//! layer has one concern and one file.

mod admit;
mod audit;
mod authentication;
mod body;
mod confirmation;
mod connection;
mod deadline;
mod handlers;
mod in_flight;
mod panics;
mod task;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

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
pub(crate) use self::confirmation::Recipient;
pub(crate) use self::connection::Connection;
use self::connection::OpenRequest;
use self::deadline::{Deadline, InTime, Limit, MAX_TIME};
use self::handlers::Handlers;
pub(crate) use self::in_flight::InFlight;
use self::panics::CatchPanic;
use self::task::OwnTask;
use super::error::Refusal;
use super::request::{AuditEntry, Call};
use super::strongroom_v1::rpcs;
use super::strongroom_v1::status::response;
use crate::app::{App, Error};
use crate::audit::Auditor;

/// The services that anyone may call: health, and reflection if it is served.
const OPEN: [&str; 3] =
    [HEALTH, "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

const HEALTH: &str = "/grpc.health.v1.Health/";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The most that the headers of a request may take, in bytes: as HTTP/2 counts them, with 32 bytes for each header.
const MAX_HEADERS: usize = 16 * 1024;

/// The layer that every request passes. Requests to health and reflection are let through as they are.
#[derive(Clone)]
pub(crate) struct Gate {
    app: Arc<App>,
    auditor: Arc<dyn Auditor>,
    in_flight: InFlight,
    open: &'static [&'static str],
}

impl Gate {
    /// The gate before an app. It counts the requests that are being answered.
    pub(crate) fn new(app: Arc<App>, auditor: Arc<dyn Auditor>, in_flight: InFlight) -> Self {
        Self { app, auditor, in_flight, open: &OPEN }
    }

    /// The same without reflection, which is then an RPC like any other that does not exist.
    pub(crate) fn without_reflection(self) -> Self {
        Self { open: &[HEALTH], ..self }
    }

    /// The layers, in the order in which a request passes them.
    fn layers<S>(&self, handlers: S) -> Layers<S> {
        ServiceBuilder::new()
            // Outside of the task, so that it can answer while the task goes on.
            .layer_fn(Deadline::new)
            // From here on, a change is served to its end though the caller hangs up.
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
        let layers = self.layers(inner.clone());
        Gated { auditor: self.auditor.clone(), open_paths: self.open, open: inner, layers }
    }
}

/// Services behind the gate.
#[derive(Clone)]
pub(crate) struct Gated<S> {
    auditor: Arc<dyn Auditor>,
    open_paths: &'static [&'static str],
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
        let connection = http.extensions().get::<Arc<Connection>>();
        if self.open_paths.iter().any(|service| path.starts_with(service)) {
            let request = match connection.map(Connection::begin_open) {
                Some(None) => return Answering::refused(Refusal::too_many_open()),
                Some(Some(_)) | None if !fit(http.headers()) => {
                    return Answering::refused(Refusal::headers_too_large());
                }
                Some(Some(request)) => Some(request),
                None => None,
            };
            // Who watches the health waits for as long as it likes.
            let time = (path != WATCH).then_some(MAX_TIME);
            return Answering::Open { answer: timeout(MAX_TIME, self.open.call(http)), request, time };
        }
        let peer = connection.map(|connection| connection.peer());
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
            request: Option<OpenRequest>,
            // How long the answer may take to its end.
            time: Option<Duration>,
        },
        // The refusal of an open request, until it is taken.
        Refused {
            answer: Option<Response<Body>>,
        },
        Gated {
            #[pin]
            answer: InTime,
        },
    }
}

/// Tells whether the work on a request has begun.
pub(crate) trait Begun {
    /// Whether it has.
    fn has_begun(&self) -> bool;
}

impl<O> Begun for Answering<O> {
    fn has_begun(&self) -> bool {
        match self {
            Self::Gated { answer } => answer.has_begun(),
            Self::Open { .. } | Self::Refused { .. } => true,
        }
    }
}

impl<O> Answering<O> {
    /// The refusal of an open request, which has no id in the log.
    fn refused(refusal: Refusal) -> Self {
        Self::Refused { answer: Some(response(refusal, "")) }
    }
}

impl<O: Future<Output = Answer>> Future for Answering<O> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match self.project() {
            AnsweringPart::Open { answer, request, time } => {
                let answered = ready!(answer.poll(context));
                let answered = answered.unwrap_or_else(|_elapsed| Ok(response(Refusal::late(), "")));
                Poll::Ready(
                    answered.map(|answer| answer.map(|body| OpenRequest::with(request.take(), body, *time))),
                )
            }
            AnsweringPart::Refused { answer } => {
                answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
            }
            AnsweringPart::Gated { answer } => answer.poll(context),
        }
    }
}

/// Whether the headers of a request are not too large.
fn fit(headers: &HeaderMap) -> bool {
    let sizes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
    sizes.sum::<usize>() <= MAX_HEADERS
}

/// The refusal of a caller whose key is not in force any more.
fn refusal(entry: &AuditEntry, ended: &Error) -> Response<Body> {
    let refusal = Refusal::from(ended);
    let changes = entry.rpc.is_some_and(|rpc| rpc.changes);
    response(if changes { refusal.of_a_change() } else { refusal }, &entry.request_id)
}

/// The caller's own id of the request, where it sends one that is at most 128 visible characters of ASCII.
fn caller_request_id(headers: &HeaderMap) -> Option<Box<str>> {
    let given = headers.get("x-request-id")?.to_str().ok()?;
    let fits = (1..=128).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| given.into())
}

#[cfg(test)]
mod tests;

//! The gate stands before the handlers: every request passes its layers, and every answer passes them on its way back. Each
//! layer has one concern and one file.

mod admit;
mod answering;
mod audit;
mod authentication;
mod body;
mod closing;
mod confirmation;
mod connection;
mod deadline;
mod handlers;
mod in_flight;
mod metrics;
mod overload;
mod panics;
mod queue_time;
mod task;
mod traced;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::time::{Instant, timeout};
use tonic::body::Body;
use tower::{Service, ServiceBuilder};

use self::admit::Admit;
use self::answering::Unmeasured;
pub(crate) use self::answering::{Answering, Begun};
use self::audit::Audit;
use self::authentication::Authentication;
pub(crate) use self::closing::Closing;
use self::confirmation::Confirmation;
pub(crate) use self::confirmation::Recipient;
pub(crate) use self::connection::Connection;
use self::connection::WaitingRequest;
use self::deadline::{Deadline, Limit, MAX_TIME, patience};
use self::handlers::Handlers;
pub(crate) use self::in_flight::InFlight;
pub(crate) use self::metrics::{CODES, RequestMetrics, RpcReading};
use self::metrics::{Called, Measured};
use self::overload::Overload;
#[cfg(test)]
pub(crate) use self::overload::TestOverload;
pub(crate) use self::overload::UnreadRefusal;
use self::panics::CatchPanic;
use self::queue_time::QueueTime;
use self::task::OwnTask;
use super::error::Refusal;
use super::request::{AuditEntry, Call, Rpc};
use super::strongroom_v1::rpcs;
use super::strongroom_v1::status::response;
use crate::app::{App, Error};
use crate::audit::Auditor;
use crate::domain::new_id;
use crate::telemetry::traces::{RequestSpan, Traces};

/// The services that anyone may call: health, and reflection if it is served.
const OPEN: [&str; 3] =
    [HEALTH, "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

const HEALTH: &str = "/grpc.health.v1.Health/";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// A connection on which nobody is known yet counts as one whose caller waits for so long at most, so that strangers do not push out
/// known callers.
const STRANGERS: Duration = Duration::from_secs(2);

/// The most that the headers of a request may take, in bytes: as HTTP/2 counts them, with 32 bytes for each header.
const MAX_HEADERS: usize = 16 * 1024;

/// What the gate is made of: the app, and what records and counts its requests.
#[derive(Clone)]
pub(crate) struct Gate {
    app: Arc<App>,
    auditor: Arc<dyn Auditor>,
    in_flight: InFlight,
    queue_time: Arc<QueueTime>,
    traces: Option<Arc<Traces>>,
}

impl Gate {
    /// The gate before an app. It counts the requests that are being answered.
    pub(crate) fn new(app: Arc<App>, auditor: Arc<dyn Auditor>, in_flight: InFlight) -> Self {
        Self { app, auditor, in_flight, queue_time: Arc::new(QueueTime::new()), traces: None }
    }

    /// The same gate, which traces requests.
    pub(crate) fn traced(self, traces: Option<Arc<Traces>>) -> Self {
        Self { traces, ..self }
    }

    /// The layers, in the order in which a request passes them.
    fn layers<S>(&self, handlers: S) -> Layers<S> {
        ServiceBuilder::new()
            // Outside of the task, so that it can answer while the task goes on.
            .layer_fn(Deadline::new)
            // From here on, a change is served to its end though the caller hangs up.
            .layer_fn(|inner| OwnTask::new(self.in_flight.clone(), self.queue_time.clone(), inner))
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

/// Services behind the gate. Health, and reflection if it is served, are let through as they are. All other requests are refused
/// until the gate is opened: there is no app before that.
pub(crate) struct Gated<S>(Arc<Shared<S>>);

struct Shared<S> {
    open_paths: &'static [&'static str],
    open: S,
    /// Empty until the gate is opened.
    opened: OnceLock<Opened<S>>,
    metrics: Arc<RequestMetrics>,
}

struct Opened<S> {
    auditor: Arc<dyn Auditor>,
    overload: Arc<Overload>,
    /// `None`: no request is traced.
    traces: Option<Arc<Traces>>,
    layers: Layers<S>,
}

impl<S> Clone for Gated<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Gated<S> {
    /// A gate that is closed. `open` serves health, and reflection if `reflection` says so.
    pub(crate) fn closed(open: S, reflection: bool, metrics: Arc<RequestMetrics>) -> Self {
        // Without reflection, that is an RPC like any other that does not exist.
        let open_paths: &[_] = if reflection { &OPEN } else { &[HEALTH] };
        Self(Arc::new(Shared { open_paths, open, opened: OnceLock::new(), metrics }))
    }

    /// Opens the gate to these handlers. It stays open.
    pub(crate) fn open(&self, gate: &Gate, handlers: S) {
        let (queue_time, metrics) = (gate.queue_time.clone(), self.0.metrics.clone());
        let overload = Overload::new(queue_time, gate.auditor.clone(), metrics);
        let opened = Opened {
            auditor: gate.auditor.clone(),
            overload: Arc::new(overload),
            traces: gate.traces.clone(),
            layers: gate.layers(handlers),
        };
        let _ = self.0.opened.set(opened); // a gate is opened once
    }
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // the services and the layers are always ready
    }

    fn call(&mut self, http: Request<Body>) -> Self::Future {
        let shared = &*self.0;
        let path = http.uri().path();
        let is_open = shared.open_paths.iter().any(|service| path.starts_with(service));
        let rpc = if is_open { None } else { rpcs::of_path(path) };
        let called = match is_open {
            false => Called::Rpc(rpc),
            true if path.starts_with(HEALTH) => Called::Health,
            true => Called::Reflection,
        };
        let measured = Measured::begin(shared.metrics.clone(), called);
        let (answer, span) = if is_open { (self.call_open(http), None) } else { self.call_gated(rpc, http) };
        Answering { answer, measured, span }
    }
}

impl<S> Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    fn call_open(&self, http: Request<Body>) -> Unmeasured<S::Future> {
        let request = match http.extensions().get::<Arc<Connection>>().map(Connection::begin_open) {
            Some(None) => return Unmeasured::refused(Refusal::too_many_open()),
            Some(Some(_)) | None if !fit(http.headers()) => {
                return Unmeasured::refused(Refusal::headers_too_large());
            }
            Some(Some(request)) => Some(request),
            None => None,
        };
        // Who watches the health waits for as long as it likes.
        let time = (http.uri().path() != WATCH).then_some(MAX_TIME);
        Unmeasured::Open { answer: timeout(MAX_TIME, self.0.open.clone().call(http)), request, time }
    }

    fn call_gated(
        &self,
        rpc: Option<&'static Rpc>,
        http: Request<Body>,
    ) -> (Unmeasured<S::Future>, Option<Box<RequestSpan>>) {
        let Some(Opened { auditor, overload, traces, layers }) = self.0.opened.get() else {
            return (Unmeasured::refused(Refusal::loading()), None);
        };
        let connection = http.extensions().get::<Arc<Connection>>();
        let peer = connection.map(|connection| connection.peer());
        let waiting = connection.map(Connection::begin);
        let id = new_id();
        let given_id = caller_request_id(http.headers());
        let entry = AuditEntry::new(rpc, id.to_string().into(), given_id, peer, auditor.clone());
        let is_known = connection.is_none_or(|connection| connection.is_authenticated());
        let most = if is_known { MAX_TIME } else { STRANGERS };
        let patience = patience(http.headers()).unwrap_or(most).min(most);
        let is_late = overload.is_too_long_for(patience);
        let is_refused = is_late && waiting.as_ref().is_some_and(WaitingRequest::is_further);
        if let Some(connection) = connection {
            if is_refused {
                connection.refused(overload);
            }
            connection.note(patience);
        }
        if is_refused {
            let refusal = Refusal::overloaded();
            overload.count();
            entry.refused(&refusal, 1);
            let answer = Some(response(refusal, &entry.request_id));
            return (Unmeasured::Refused { answer, _waiting: waiting }, None);
        }
        let begin = |traces: &Arc<Traces>| traces.begin(http.headers(), id, rpc.map(|rpc| rpc.name));
        let span = traces.as_ref().and_then(begin);
        let entry = Arc::new(entry.traced(span.as_deref(), http.headers()));
        let arrived = Arrived { entry, until: Instant::now() + MAX_TIME, http };
        (Unmeasured::Gated { answer: layers.clone().call(arrived), _waiting: waiting }, span)
    }
}

/// Whether the headers of a request are not too large.
fn fit(headers: &HeaderMap) -> bool {
    let sizes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
    sizes.sum::<usize>() <= MAX_HEADERS
}

/// The refusal of a caller whose key is not in force any more.
fn refusal(entry: &AuditEntry, ended: &Error) -> Response<Body> {
    perhaps_done(Refusal::from(ended), entry)
}

/// The refusal of a caller whose time is up.
fn late(entry: &AuditEntry) -> Response<Body> {
    perhaps_done(Refusal::late(), entry)
}

/// A refusal that can come while the work on the request goes on. If the request is to change something, the refusal says so.
fn perhaps_done(refusal: Refusal, entry: &AuditEntry) -> Response<Body> {
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

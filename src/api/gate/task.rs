//! A task for each request, so that a change is served to its end and recorded though the caller hangs up. A request whose
//! caller hangs up before its task has begun, or whose time is up by then, is forgotten: nothing of it was done. The requests
//! that are being answered are counted until the last byte of their answers is handed over: the server waits for them before it
//! stops. Watches have no last byte, and count until they begin.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::body::Body;
use tower::Service;
use tracing::Instrument;

use super::in_flight::{Entered, InFlight};
use super::queue_time::QueueTime;
use super::{Answer, Arrived, late};
use crate::api::error::Refusal;
use crate::api::request::AuditEntry;
use crate::api::strongroom_v1::status::response;

/// Answers each request in a task of its own.
#[derive(Clone)]
pub(super) struct OwnTask<S> {
    in_flight: InFlight,
    queue_time: Arc<QueueTime>,
    inner: S,
}

impl<S> OwnTask<S> {
    pub(super) fn new(in_flight: InFlight, queue_time: Arc<QueueTime>, inner: S) -> Self {
        Self { in_flight, queue_time, inner }
    }
}

impl<S> Service<Arrived> for OwnTask<S>
where
    S: Service<Arrived, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Spawned;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, arrived: Arrived) -> Spawned {
        let (entry, of_task) = (arrived.entry.clone(), arrived.entry.clone());
        let span = tracing::info_span!("request", request_id = &*entry.request_id);
        let (entered, endless) = (self.in_flight.enter(), is_endless(arrived.http.uri().path()));
        let until = arrived.until;
        // Called here and not in the task: the layers below look at callers in the order in which requests arrive.
        let answer = self.inner.call(arrived);
        let waiting = self.queue_time.enter();
        let answering = async move {
            waiting.begins();
            if Instant::now() >= until {
                return Ok(late(&of_task)); // not begun, so that a change whose time is up is not made either
            }
            if !of_task.begin() {
                return Ok(Response::new(Body::empty()));
            }
            let answer = answer.await?;
            Ok(if endless {
                answer
            } else {
                answer.map(|body| Body::new(Counted { body, _entered: entered }))
            })
        };
        Spawned { task: tokio::spawn(answering.instrument(span)), entry, answered: false }
    }
}

/// Whether the RPC of this path is a watch, which goes on until the server stops.
fn is_endless(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|rpc| rpc.starts_with("Watch"))
}

/// The body of an answer, whose request counts as long as the body is there.
struct Counted {
    body: Body,
    _entered: Entered,
}

impl http_body::Body for Counted {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The answer of a task. The task learns that its caller has hung up when this is dropped before it was answered.
pub(crate) struct Spawned {
    task: JoinHandle<Answer>,
    entry: Arc<AuditEntry>,
    answered: bool,
}

impl Spawned {
    /// Whether the task has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.entry.has_begun()
    }

    /// Notes that the caller was answered by another layer.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if !self.answered {
            self.entry.abandon();
        }
    }
}

impl Future for Spawned {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let answer = ready!(Pin::new(&mut self.task).poll(context));
        self.answered = true;
        Poll::Ready(match answer {
            Ok(answer) => answer,
            // A handler that panics is answered within the task; this is the last resort.
            Err(_panicked) => Ok(response(Refusal::defect(), &self.entry.request_id)),
        })
    }
}

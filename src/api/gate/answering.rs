//! The answer of the gate to a request, on its way out: it is measured there, and its span ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Response;
use pin_project_lite::pin_project;
use tokio::time::Timeout;
use tonic::body::Body;

use super::Answer;
use super::connection::{OpenRequest, WaitingRequest};
use super::deadline::InTime;
use super::metrics::Measured;
use super::traced::traced;
use crate::api::error::Refusal;
use crate::api::strongroom_v1::status::response;
use crate::domain::new_id;
use crate::telemetry::traces::RequestSpan;

pin_project! {
    /// The answer to a request, which is measured.
    pub(crate) struct Answering<O> {
        #[pin]
        pub(super) answer: Unmeasured<O>,
        pub(super) measured: Measured,
        // Only of a request that is traced.
        pub(super) span: Option<Box<RequestSpan>>,
    }

    impl<O> PinnedDrop for Answering<O> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let begun = this.answer.has_begun();
            this.measured.abandoned(begun);
        }
    }
}

pin_project! {
    /// The answer to a request, without its measurement.
    #[project = Part]
    pub(super) enum Unmeasured<O> {
        Open {
            #[pin]
            answer: Timeout<O>,
            request: Option<OpenRequest>,
            // How long the answer may take to its end.
            time: Option<Duration>,
        },
        // A refusal before the gate, until it is taken.
        Refused {
            answer: Option<Response<Body>>,
            // Counts until then: all requests that came at once are known to be many.
            _waiting: Option<WaitingRequest>,
        },
        Gated {
            #[pin]
            answer: InTime,
            _waiting: Option<WaitingRequest>,
        },
    }
}

/// A refusal with an id that the log has too.
fn refused(refusal: Refusal) -> Response<Body> {
    let id = new_id().to_string();
    tracing::debug!(request_id = id, reason = refusal.reason.name(), "a request was refused before the gate");
    response(refusal, &id)
}

/// Tells whether the work on a request has begun.
pub(crate) trait Begun {
    /// Whether it has.
    fn has_begun(&self) -> bool;
}

impl<O> Begun for Answering<O> {
    fn has_begun(&self) -> bool {
        self.answer.has_begun()
    }
}

impl<O> Unmeasured<O> {
    /// The refusal of a request before the gate. There is no audit record of it.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self::Refused { answer: Some(refused(refusal)), _waiting: None }
    }

    fn has_begun(&self) -> bool {
        match self {
            Self::Gated { answer, .. } => answer.has_begun(),
            Self::Open { .. } | Self::Refused { .. } => true,
        }
    }
}

impl<O: Future<Output = Answer>> Future for Answering<O> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut this = self.project();
        let answered = ready!(this.answer.as_mut().poll(context))?;
        this.measured.answered(answered.headers(), this.answer.has_begun());
        Poll::Ready(Ok(match this.span.take() {
            Some(span) => traced(span, answered),
            None => answered,
        }))
    }
}

impl<O: Future<Output = Answer>> Future for Unmeasured<O> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match self.project() {
            Part::Open { answer, request, time } => {
                let answered = ready!(answer.poll(context));
                let answered = answered.unwrap_or_else(|_elapsed| Ok(refused(Refusal::late())));
                Poll::Ready(
                    answered.map(|answer| answer.map(|body| OpenRequest::with(request.take(), body, *time))),
                )
            }
            Part::Refused { answer, .. } => {
                answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
            }
            Part::Gated { answer, .. } => answer.poll(context),
        }
    }
}

//! Turns the panic of a handler into an answer, which is recorded like any other.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tonic::body::Body;
use tower::Service;

use super::{Admitted, Answer};
use crate::api::error::Refusal;
use crate::api::request::AuditEntry;
use crate::api::strongroom_v1::status::response;

/// Catches panics. The panic hook of the process has logged them by then.
#[derive(Clone)]
pub(super) struct CatchPanic<S> {
    inner: S,
}

impl<S> CatchPanic<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Admitted> for CatchPanic<S>
where
    S: Service<Admitted, Response = Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Caught<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, admitted: Admitted) -> Self::Future {
        Caught { entry: admitted.call.entry.clone(), answer: self.inner.call(admitted) }
    }
}

/// The answer of a handler that may panic.
pub(super) struct Caught<F> {
    answer: F,
    entry: Arc<AuditEntry>,
}

impl<F: Future<Output = Answer> + Unpin> Future for Caught<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let answer = &mut self.answer;
        // The state after a panic is not used again: this future has ended then, and is dropped.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(answer).poll(context))) {
            Ok(polled) => polled,
            Err(_panic) => Poll::Ready(Ok(response(Refusal::defect(), &self.entry.request_id))),
        }
    }
}

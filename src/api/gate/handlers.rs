//! The handlers of all RPCs as the gate's innermost service. A request takes its [`Call`](crate::api::request::Call) along
//! in its extensions, and every error comes back with its details.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::body::Body;
use tower::Service;

use super::body::whole;
use super::{Admitted, Answer};
use crate::api::request::AuditEntry;
use crate::api::strongroom_v1::status::complete;

/// The handlers.
#[derive(Clone)]
pub(super) struct Handlers<S> {
    inner: S,
}

impl<S> Handlers<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Admitted> for Handlers<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Handled<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, admitted: Admitted) -> Self::Future {
        let Admitted { call, mut http, .. } = admitted;
        let entry = call.entry.clone();
        http.extensions_mut().insert(call);
        Handled { answer: self.inner.call(http.map(whole)), entry }
    }
}

pin_project! {
    /// The answer of a handler.
    pub(super) struct Handled<F> {
        #[pin]
        answer: F,
        entry: Arc<AuditEntry>,
    }
}

impl<F: Future<Output = Answer>> Future for Handled<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context))?;
        Poll::Ready(Ok(complete(answer, &this.entry.request_id)))
    }
}

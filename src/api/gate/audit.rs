//! Writes the audit record of each request before its answer leaves. Where it cannot be written, the request is answered
//! with an error instead.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use tonic::body::Body;
use tower::Service;

use super::{Answer, Arrived};
use crate::api::strongroom_v1::status::{failure, response};
use crate::app::Error;

/// Records each request, refused ones too.
#[derive(Clone)]
pub(super) struct Audit<S> {
    inner: S,
}

impl<S> Audit<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Arrived> for Audit<S>
where
    S: Service<Arrived, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, arrived: Arrived) -> Self::Future {
        let entry = arrived.entry.clone();
        let answer = self.inner.call(arrived);
        Box::pin(async move {
            let answer = answer.await?;
            match entry.write(failure(&answer)).await {
                Ok(()) => Ok(answer),
                Err(unwritable) => Ok(response(&Error::from(unwritable), &entry.request_id)),
            }
        })
    }
}

//! The requests of one connection, handed to the gate, and the answers on their way back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tonic::body::Body;
use tower::Service;

use super::received::Received;
use super::reply::Reply;
use super::resets::{Resets, Unanswered};
use super::windows::Windows;
use crate::api::{Begun, Connection};

/// The service of one connection.
pub(super) struct Exchanges<S> {
    /// The service of all connections.
    gated: S,
    connection: Arc<Connection>,
    windows: Arc<Windows>,
    resets: Arc<Resets>,
}

impl<S> Exchanges<S> {
    /// The service of this connection, which has these windows and may have so many requests at a time.
    pub(super) fn new(gated: S, connection: Arc<Connection>, windows: Arc<Windows>, requests: u32) -> Self {
        let resets = Arc::new(Resets::new(connection.clone(), requests));
        Self { gated, connection, windows, resets }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Exchanges<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
    S::Future: Begun,
{
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Exchange<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(|body| Body::new(Received::new(body)));
        request.extensions_mut().insert(self.connection.clone());
        // The gate and the handlers are always ready. They are called here, in the order in which requests arrive, so that
        // what is refused takes no room.
        Exchange {
            answer: self.gated.clone().call(request),
            windows: self.windows.clone(),
            request: Some(self.resets.begin()),
        }
    }
}

pin_project! {
    /// The answer to a request.
    pub(super) struct Exchange<F>
    where
        F: Begun,
    {
        #[pin]
        answer: F,
        windows: Arc<Windows>,
        request: Option<Unanswered>,
    }

    impl<F: Begun> PinnedDrop for Exchange<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(request) = this.request && !this.answer.has_begun() {
                request.not_begun();
            }
        }
    }
}

impl<F: Future<Output = Result<Response<Body>, Infallible>> + Begun> Future for Exchange<F> {
    type Output = Result<Response<Reply>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(context))?;
        let recipient = answer.extensions_mut().remove();
        Poll::Ready(match this.request.take() {
            Some(request) => {
                Ok(answer.map(|body| Reply::new(body, this.windows.clone(), request, recipient)))
            }
            None => return Poll::Pending, // it was taken: the answer is polled once
        })
    }
}

//! Finds the service of a request by the path of its RPC.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// The answer of a service, once it is ready.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Services of gRPC. Clones share them.
#[derive(Clone, Default)]
pub struct Services(Arc<Vec<(&'static str, Box<dyn Answers>)>>);

/// A service whose requests can come at the same time.
trait Answers: Send + Sync {
    fn answer(&self, request: Request<Body>) -> Answering;
}

impl<S> Answers for S
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answering>,
    S: Clone + Send + Sync,
{
    fn answer(&self, request: Request<Body>) -> Answering {
        self.clone().call(request)
    }
}

/// Collects services.
#[derive(Default)]
pub(crate) struct Collected(Vec<(&'static str, Box<dyn Answers>)>);

impl Collected {
    /// Adds a service. It is always ready, as those are that tonic generates.
    pub(crate) fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answering>,
        S: NamedService + Clone + Send + Sync + 'static,
    {
        self.0.push((S::NAME, Box::new(service)));
        self
    }

    /// The services.
    pub(crate) fn services(self) -> Services {
        Services(Arc::new(self.0))
    }
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let wanted = request.uri().path().strip_prefix('/').and_then(|path| path.split_once('/'));
        let found = wanted.and_then(|(wanted, _)| self.0.iter().find(|(name, _)| *name == wanted));
        match found {
            Some((_, service)) => service.answer(request),
            None => Box::pin(std::future::ready(Ok(Status::unimplemented("").into_http()))),
        }
    }
}

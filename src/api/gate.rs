//! What every request passes: authentication, a task of its own, a bound on its time, and its audit record.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument;
use uuid::Uuid;

use super::call::{Call, Subject};
use super::in_flight::{Entered, InFlight};
use super::rpc::{self, Rpc};
use super::status::{code_name, complete, reason_of, status};
use crate::app::{self, App, CredentialProblem, Error, Unauthenticated};
use crate::audit::{Auditor, Record};
use crate::auth::{ApiKeyId, Principal};

/// How long a request may take, from its headers to its answer, however long the caller waits.
const TIME: Duration = Duration::from_secs(30);
/// How much of the caller's time is left for the answer to arrive in.
const RETURN: Duration = Duration::from_millis(100);
/// The services that anyone may call: health and reflection.
const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];
/// How the audit names an RPC that there is not: the caller's own text could be anything.
const UNKNOWN_RPC: &str = "unknown";

/// The address at the other end of the connection that a request came by, among the request's extensions.
#[derive(Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The layer that every request passes. Those to health and reflection are let through as they are.
#[derive(Clone)]
pub struct Gate {
    app: Arc<App>,
    auditor: Arc<dyn Auditor>,
    in_flight: InFlight,
}

impl Gate {
    /// The gate before an app. It counts the requests that are being answered.
    pub fn new(app: Arc<App>, auditor: Arc<dyn Auditor>, in_flight: InFlight) -> Self {
        Self { app, auditor, in_flight }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: self.clone(), inner }
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub struct Gated<S> {
    gate: Gate,
    inner: S,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        // The clone takes the place of the service that was polled ready.
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        if OPEN.iter().any(|service| request.uri().path().starts_with(service)) {
            let mut inner = inner;
            return Box::pin(async move { inner.call(request).await });
        }
        let request_id = request_id(request.headers());
        let arrived = Instant::now();
        let patience = deadline(request.headers());
        let span = tracing::info_span!("request", request_id = &*request_id);
        let entered = self.gate.in_flight.enter();
        // Here and not in the task, so that callers are looked at in the order in which their requests came.
        let caller = self.gate.authenticate(request.headers());
        let until = arrived + patience.unwrap_or(TIME).min(TIME);
        let answer = self.gate.clone().answer(request, caller, inner, request_id.clone(), until, entered);
        let task = tokio::spawn(answer.instrument(span));
        Box::pin(async move {
            let answered = match patience {
                Some(patience) => within(patience, task).await,
                None => Some(task.await),
            };
            Ok(match answered {
                Some(Ok(response)) => response,
                // The task goes on to its end, and to its audit record.
                None => complete(&Status::deadline_exceeded(""), &request_id).into_http(),
                // A request that panics is answered by the task itself; this is the last resort.
                Some(Err(_panicked)) => complete(&Status::unknown(""), &request_id).into_http(),
            })
        })
    }
}

impl Gate {
    /// Answers a request, whether or not the caller still waits for the answer.
    async fn answer<S>(
        self,
        request: Request<Body>,
        caller: Result<Principal, Refused>,
        inner: S,
        request_id: Arc<str>,
        until: Instant,
        _entered: Entered,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let rpc = rpc::of_path(request.uri().path());
        let peer = request.extensions().get::<Peer>().map(|Peer(address)| address.to_string());
        let subject = Subject::default();

        let principal = caller.as_ref().ok().map(Principal::to_string);
        let answered = match (caller, rpc) {
            (Err(Refused { error, key }), _) => {
                // Who it was once, where that is certain: so that the use of a key that was taken away can be traced.
                subject.note(|target| target.subject = key.map(|key| key.to_string()));
                refuse(&error, &request_id)
            }
            (Ok(_), None) => complete(&Status::unimplemented(""), &request_id).into_http(),
            (Ok(principal), Some(rpc)) => {
                let (peer, auditor) = (peer.clone(), self.auditor.clone());
                let (request_id, subject) = (request_id.clone(), subject.clone());
                let call = Call { rpc, principal, peer, request_id, subject, auditor };
                serve(call, request, inner, until).await
            }
        };

        let failed = Status::from_header_map(answered.headers()).filter(|status| status.code() != Code::Ok);
        let record = |target| Record {
            principal: principal.clone(),
            peer: peer.clone(),
            rpc: rpc.map_or(UNKNOWN_RPC, |rpc: &Rpc| rpc.name),
            target,
            outcome: code_name(failed.as_ref().map_or(Code::Ok, Status::code)),
            reason: failed.as_ref().and_then(reason_of),
            request_id: request_id.to_string(),
        };
        let records: Vec<_> = subject.take().into_iter().map(record).collect();
        match self.auditor.write(&records).await {
            Ok(()) => {
                subject.recorded();
                answered
            }
            Err(unwritable) => refuse(&unwritable.into(), &request_id),
        }
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Refused> {
        self.app.serves().map_err(|error| Refused { error, key: None })?;
        let credential = credential(headers).map_err(|problem| Unauthenticated { problem, key: None })?;
        Ok(self.app.access.authenticate(credential)?)
    }
}

/// Why nobody is let in, and with which key where that is certain.
struct Refused {
    error: Error,
    key: Option<ApiKeyId>,
}

impl From<Unauthenticated> for Refused {
    fn from(Unauthenticated { problem, key }: Unauthenticated) -> Self {
        Self { error: Error::Unauthenticated(problem), key }
    }
}

/// The credential that a request presents.
fn credential(headers: &HeaderMap) -> Result<&str, CredentialProblem> {
    match (headers.get("authorization"), headers.get("x-api-key")) {
        (Some(authorization), _) => {
            let text = authorization.to_str().map_err(|_| CredentialProblem::Invalid)?;
            match text.split_once(' ') {
                Some((scheme, credential)) if scheme.eq_ignore_ascii_case("bearer") => Ok(credential.trim()),
                Some(_) | None => Err(CredentialProblem::Invalid),
            }
        }
        (None, Some(key)) => key.to_str().map(str::trim).map_err(|_| CredentialProblem::Invalid),
        (None, None) => Err(CredentialProblem::Missing),
    }
}

/// The inner service's answer, within a bound, with the details that every error has.
async fn serve<S>(call: Call, mut request: Request<Body>, mut inner: S, until: Instant) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let request_id = call.request_id.clone();
    // The handlers have no need of the credential.
    request.headers_mut().remove("authorization");
    request.headers_mut().remove("x-api-key");
    request.extensions_mut().insert(call);
    // In a task of its own, so that a panic is answered, and audited, like any other failure.
    let served =
        async move { tokio::time::timeout(TIME, app::until(until.into_std(), inner.call(request))).await };
    let served = tokio::spawn(served.in_current_span());
    let response = match served.await {
        Ok(Ok(Ok(response))) => response,
        Ok(Err(_elapsed)) => return complete(&Status::deadline_exceeded(""), &request_id).into_http(),
        Err(_panicked) => return complete(&Status::unknown(""), &request_id).into_http(),
    };
    match Status::from_header_map(response.headers()) {
        Some(bare) if bare.code() != Code::Ok && bare.details().is_empty() => {
            complete(&bare, &request_id).into_http()
        }
        _ => response,
    }
}

fn refuse(error: &Error, request_id: &str) -> Response<Body> {
    status(error, request_id).into_http()
}

/// The caller's own id of the request where it sends one that can stand in a log, else a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let fits = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    match given.filter(fits) {
        Some(id) => id.into(),
        None => Uuid::now_v7().to_string().into(),
    }
}

/// How long the caller waits, less a little, so that what it is told arrives in time (and before the transport, which
/// has no details to give, says so itself).
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let asked = timeout(headers.get("grpc-timeout")?.as_bytes())?;
    Some(asked.saturating_sub(RETURN.min(asked / 5)))
}

/// What a task comes to, unless that takes too long. The clock is asked at every poll: the transport's own timer, which is
/// set for later, can fire before ours where both are due.
async fn within<T>(patience: Duration, mut task: JoinHandle<T>) -> Option<Result<T, JoinError>> {
    let deadline = Instant::now() + patience;
    let mut timer = pin!(sleep_until(deadline));
    poll_fn(|context| match Pin::new(&mut task).poll(context) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending if timer.as_mut().poll(context).is_ready() || Instant::now() >= deadline => {
            Poll::Ready(None)
        }
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// A timeout as gRPC over HTTP/2 writes it: 1 to 8 digits and a unit.
fn timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    let number: u64 = std::str::from_utf8(digits).ok().filter(|digits| digits.len() <= 8)?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit;
    use crate::crypto::{MasterKeyProvider, MasterKeySource, MasterKeys};
    use crate::store;

    struct Recorded;

    #[tonic::async_trait]
    impl Auditor for Recorded {
        async fn write(&self, _records: &[audit::Record]) -> Result<(), audit::Unwritable> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn while_the_store_is_not_known_everything_but_health_and_reflection_is_refused() {
        let mut root = String::new();
        let provider = MasterKeyProvider::new(
            MasterKeySource::DataDir("nowhere".into()),
            MasterKeys::generate().unwrap(),
        );
        let store = store::open_memory().unwrap();
        let app = app::open(store.clone(), provider, app::Options::default(), |credential| {
            root = credential.expose().to_owned();
            Ok(())
        });
        let app = Arc::new(app.await.unwrap());
        let inner =
            tower::service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
        let mut gated = Gate::new(app.clone(), Arc::new(Recorded), InFlight::default()).layer(inner);
        let mut ask = async |path: &str| {
            let request = Request::builder().uri(path).header("x-api-key", &root);
            let answer = gated.call(request.body(Body::empty()).unwrap()).await.unwrap();
            Status::from_header_map(answer.headers()).and_then(|status| reason_of(&status))
        };
        let paths = ["/strongroom.v1.SecretService/GetSecret", "/strongroom.v1.OperatorService/GetStatus"];
        for path in paths {
            assert_eq!(ask(path).await, None);
        }
        let all = store.scan(&store::Key::all(), None, 10).await.unwrap();
        let kept = all.into_iter().filter(|(key, _)| *key != store::Key::digest());
        let kept: Vec<_> = kept.map(|(key, entry)| Ok(store::ReplaceRecord::Put(key, entry.value))).collect();
        store.replace(Box::new(kept.into_iter()), Default::default()).await.unwrap();
        while app.serves().is_ok() {
            tokio::task::yield_now().await;
        }
        for path in paths.into_iter().chain(["/strongroom.v1.SecretService/Nothing"]) {
            assert_eq!(ask(path).await, Some("STORE_UNAVAILABLE"));
        }
        for open in OPEN {
            assert_eq!(ask(&format!("{open}Check")).await, None);
        }
    }
}

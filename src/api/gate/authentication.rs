//! Makes the [`Principal`] of each request from its credential, and refuses requests without one. RPCs that do not exist
//! are refused here too, but only to callers who are known.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Extensions, HeaderMap, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tower::Service;

use super::{Admitted, Answer, Arrived, Connection, fit};
use crate::api::error::Refusal;
use crate::api::request::Call;
use crate::api::strongroom_v1::status::response;
use crate::app::{
    App, CredentialProblem, Error, Fetch, NoPrincipal, Presented, Unauthenticated, UnavailableCause,
};
use crate::auth::{Authorization, Principal, PrincipalName};

/// How many requests wait at a time for what the question who calls needs. A stranger can make a request wait, and each holds what has
/// arrived of it.
const WAITING: usize = 256;

/// Admits requests with a credential that is in force.
#[derive(Clone)]
pub(super) struct Authentication<S> {
    app: Arc<App>,
    /// The places of requests that wait.
    waiting: Arc<Semaphore>,
    inner: S,
}

impl<S> Authentication<S> {
    pub(super) fn new(app: Arc<App>, inner: S) -> Self {
        Self { app, waiting: Arc::new(Semaphore::new(WAITING)), inner }
    }

    /// The caller, as far as this replica knows now. `waited`: what the request has waited for.
    fn authenticate(&self, arrived: &Arrived, waited: Waited) -> Result<Principal, NotKnown> {
        self.app.serves().map_err(|why| NotKnown::Refused(Refused::NotServing(cause_of(&why))))?;
        if !self.app.is_recent() {
            return Err(NotKnown::ReplicaBehind);
        }
        let refused = |unauthenticated| NotKnown::Refused(Refused::Unauthenticated(unauthenticated));
        let presented = presented(arrived.http.headers(), arrived.http.extensions());
        let presented = presented.map_err(|problem| refused(Unauthenticated { problem, principal: None }))?;
        self.app.access.identify(presented, !waited.for_fetch).map_err(|none| match none {
            NoPrincipal::KeyNotKnown(_) if !waited.for_head => NotKnown::ReplicaBehind,
            NoPrincipal::Refused(unauthenticated) | NoPrincipal::KeyNotKnown(unauthenticated) => {
                refused(unauthenticated)
            }
            NoPrincipal::KeyWanted(fetch) => NotKnown::KeyWanted(fetch),
            NoPrincipal::IssuerUnavailable => NotKnown::Refused(Refused::IssuerUnavailable),
            NoPrincipal::TimeNotKnown(why) => NotKnown::Refused(Refused::NotServing(why.cause())),
        })
    }

    /// Waits for what the question who calls needs, each thing once, and answers it.
    async fn authenticate_later(
        self,
        arrived: Arrived,
        first: NotKnown,
        place: OwnedSemaphorePermit,
    ) -> Box<Known<S>> {
        let (mut waited, mut not_known) = (Waited::default(), first);
        let caller = loop {
            match not_known {
                NotKnown::ReplicaBehind if !waited.for_head => {
                    waited.for_head = true;
                    if let Err(why) = self.app.reach_head().await {
                        break Err(Refused::NotServing(cause_of(&why)));
                    }
                }
                NotKnown::KeyWanted(fetch) if !waited.for_fetch => {
                    waited.for_fetch = true;
                    fetch.ended().await;
                }
                not_known => break Err(not_known.without_waiting()),
            }
            match self.authenticate(&arrived, waited) {
                Ok(principal) => break Ok(principal),
                Err(again) => not_known = again,
            }
        };
        drop(place);
        Box::new((self, arrived, caller))
    }
}

impl<S> Authentication<S>
where
    S: Service<Admitted, Response = Response<Body>, Error = Infallible>,
{
    /// Lets a request in whose caller is known, and refuses others.
    fn admit(
        &mut self,
        Arrived { entry, until, mut http }: Arrived,
        caller: Result<Principal, Refused>,
    ) -> Authenticated<S> {
        let principal = match caller {
            Ok(principal) => principal,
            Err(refused) => {
                // Where the caller is certain, it is noted, so that the use of a revoked key can be traced.
                entry.note(|target| target.subject = refused.subject());
                return Authenticated::Refused(Some(response(refused.refusal(), &entry.request_id)));
            }
        };
        let caller = Arc::new(Authorization::new(principal));
        entry.note_caller(&caller);
        if let Some(connection) = http.extensions().get::<Arc<Connection>>() {
            connection.authenticate();
        }
        if !fit(http.headers()) {
            return Authenticated::Refused(Some(response(Refusal::headers_too_large(), &entry.request_id)));
        }
        let Some(rpc) = entry.rpc else {
            return Authenticated::Refused(Some(response(Refusal::no_such_rpc(), &entry.request_id)));
        };
        // The handlers have no need of the credential.
        http.headers_mut().remove("authorization");
        http.headers_mut().remove("x-api-key");
        let call = Call { rpc, caller, entry };
        Authenticated::Admitted(self.inner.call(Admitted { call, until, http }))
    }
}

impl<S> Service<Arrived> for Authentication<S>
where
    S: Service<Admitted, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Authenticated<S>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, arrived: Arrived) -> Self::Future {
        let caller = match self.authenticate(&arrived, Waited::default()) {
            Ok(principal) => Ok(principal),
            Err(NotKnown::Refused(refused)) => Err(refused),
            Err(later @ (NotKnown::KeyWanted(_) | NotKnown::ReplicaBehind)) => {
                if let Ok(place) = self.waiting.clone().try_acquire_owned() {
                    let later = self.clone().authenticate_later(arrived, later, place);
                    return Authenticated::Waiting(Box::pin(later));
                }
                Err(later.without_waiting())
            }
        };
        self.admit(arrived, caller)
    }
}

/// The answer to a request that was looked at.
pub(super) enum Authenticated<S: Service<Admitted>> {
    /// The refusal, until it is taken.
    Refused(Option<Response<Body>>),
    /// It is not known yet who calls.
    Waiting(Pin<Box<dyn Future<Output = Box<Known<S>>> + Send>>),
    Admitted(S::Future),
}

impl<S> Future for Authenticated<S>
where
    S: Service<Admitted, Response = Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        loop {
            match &mut *self {
                Self::Refused(refusal) => {
                    return refusal.take().map_or(Poll::Pending, |refusal| Poll::Ready(Ok(refusal)));
                }
                Self::Waiting(known) => {
                    let (mut layer, arrived, caller) = *ready!(known.as_mut().poll(context));
                    *self = layer.admit(arrived, caller);
                }
                Self::Admitted(answer) => return Pin::new(answer).poll(context),
            }
        }
    }
}

/// A request that has waited, and its caller.
type Known<S> = (Authentication<S>, Arrived, Result<Principal, Refused>);

/// What a request has waited for.
#[derive(Clone, Copy, Default)]
struct Waited {
    /// For the newest changes of the other replicas.
    for_head: bool,
    /// For the keys of the issuer of its token.
    for_fetch: bool,
}

/// Why the caller is not known.
enum NotKnown {
    Refused(Refused),
    /// The key of its token is not known; this fetch may bring it.
    KeyWanted(Fetch),
    /// Another replica can have made the key a moment ago, or this replica does not know whether it is current.
    ReplicaBehind,
}

impl NotKnown {
    /// The refusal of a request that cannot wait.
    fn without_waiting(self) -> Refused {
        match self {
            Self::Refused(refused) => refused,
            Self::KeyWanted(_) => Refused::IssuerUnavailable,
            Self::ReplicaBehind => Refused::NotServing(UnavailableCause::Passing),
        }
    }
}

/// Why a caller is refused.
pub(super) enum Refused {
    /// The store cannot serve, so that it is not known who calls.
    NotServing(UnavailableCause),
    /// The keys of the issuer of the token are not known, so that it is not known who calls.
    IssuerUnavailable,
    Unauthenticated(Unauthenticated),
}

impl Refused {
    /// The caller where that is certain, for the audit: the id of an API key, or the name of another principal.
    fn subject(&self) -> Option<String> {
        match self {
            Self::NotServing(_) | Self::IssuerUnavailable => None,
            Self::Unauthenticated(Unauthenticated { principal, .. }) => Some(match principal.as_ref()? {
                PrincipalName::ApiKey(id) => id.to_string(),
                other => other.to_string(),
            }),
        }
    }

    /// The answer.
    fn refusal(&self) -> Refusal {
        match self {
            // Anyone can cause this, so it has no line of its own in the log.
            Self::NotServing(cause) => Refusal::store_unavailable_because(*cause),
            Self::IssuerUnavailable => (&Error::IssuerUnavailable).into(),
            Self::Unauthenticated(Unauthenticated { problem, .. }) => {
                (&Error::Unauthenticated(*problem)).into()
            }
        }
    }
}

/// What keeps the store from serving.
fn cause_of(error: &Error) -> UnavailableCause {
    if let Error::Unavailable(why) = error { why.cause() } else { UnavailableCause::Passing }
}

/// The credential that a request presents. Two are refused, since it is not certain which one counts for a proxy on the way. A
/// client certificate that is a credential counts as one; a certificate that is none does not hinder another credential.
fn presented<'r>(
    headers: &'r HeaderMap,
    extensions: &'r Extensions,
) -> Result<Presented<'r>, CredentialProblem> {
    let connection = extensions.get::<Arc<Connection>>();
    let certificate = connection.and_then(|connection| connection.certificate());
    match (header(headers), certificate) {
        (Err(CredentialProblem::Missing), Some(Ok(certificate))) => Ok(Presented::Certificate(certificate)),
        (Err(CredentialProblem::Missing), Some(Err(problem))) => Err((*problem).into()),
        (Ok(_), Some(Ok(_))) => Err(CredentialProblem::CertificateToo),
        (header, _) => header,
    }
}

/// The credential in the headers of a request.
fn header(headers: &HeaderMap) -> Result<Presented<'_>, CredentialProblem> {
    let mut authorizations = headers.get_all("authorization").iter();
    let mut keys = headers.get_all("x-api-key").iter();
    match (authorizations.next(), keys.next(), authorizations.next().or(keys.next())) {
        (None, None, _) => Err(CredentialProblem::Missing),
        (Some(authorization), None, None) => {
            let text = authorization.to_str().map_err(|_| CredentialProblem::Invalid)?;
            match text.split_once(' ') {
                Some((scheme, credential)) if scheme.eq_ignore_ascii_case("bearer") => {
                    Ok(Presented::Bearer(credential.trim()))
                }
                Some(_) | None => Err(CredentialProblem::Invalid),
            }
        }
        (None, Some(key), None) => {
            let key = key.to_str().map_err(|_| CredentialProblem::Invalid)?;
            Ok(Presented::ApiKey(key.trim()))
        }
        (Some(_), Some(_), _) | (_, _, Some(_)) => Err(CredentialProblem::Several),
    }
}

//! Makes the [`Principal`] of each request from its credential, and refuses requests without one. RPCs that do not exist
//! are refused here too, but only to callers who are known.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Response};
use tonic::body::Body;
use tower::Service;

use super::{Admitted, Answer, Arrived, Connection, fit};
use crate::api::error::Refusal;
use crate::api::request::Call;
use crate::api::strongroom_v1::status::response;
use crate::app::{App, CredentialProblem, Error, Unauthenticated};
use crate::auth::{Authorization, Principal, PrincipalName};

/// Admits requests with a credential that is in force.
#[derive(Clone)]
pub(super) struct Authentication<S> {
    app: Arc<App>,
    inner: S,
}

impl<S> Authentication<S> {
    pub(super) fn new(app: Arc<App>, inner: S) -> Self {
        Self { app, inner }
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Refused> {
        self.app.serves().map_err(|_| Refused::NotServing)?;
        let credential =
            credential(headers).map_err(|problem| Unauthenticated { problem, principal: None })?;
        Ok(self.app.access.authenticate(credential)?)
    }
}

impl<S> Service<Arrived> for Authentication<S>
where
    S: Service<Admitted, Response = Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Authenticated<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, arrived: Arrived) -> Self::Future {
        let Arrived { entry, until, mut http } = arrived;
        let principal = match self.authenticate(http.headers()) {
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

/// The answer to a request that was looked at.
pub(super) enum Authenticated<F> {
    /// The refusal, until it is taken.
    Refused(Option<Response<Body>>),
    Admitted(F),
}

impl<F: Future<Output = Answer> + Unpin> Future for Authenticated<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match &mut *self {
            Self::Refused(refusal) => {
                refusal.take().map_or(Poll::Pending, |refusal| Poll::Ready(Ok(refusal)))
            }
            Self::Admitted(answer) => Pin::new(answer).poll(context),
        }
    }
}

/// Why a caller is refused.
enum Refused {
    /// The store cannot serve, so that it is not known who calls.
    NotServing,
    Unauthenticated(Unauthenticated),
}

impl Refused {
    /// The caller where that is certain, for the audit: the id of an API key, or the name of another principal.
    fn subject(&self) -> Option<String> {
        match self {
            Self::NotServing => None,
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
            Self::NotServing => Refusal::store_unavailable(),
            Self::Unauthenticated(Unauthenticated { problem, .. }) => {
                (&Error::Unauthenticated(*problem)).into()
            }
        }
    }
}

impl From<Unauthenticated> for Refused {
    fn from(unauthenticated: Unauthenticated) -> Self {
        Self::Unauthenticated(unauthenticated)
    }
}

/// The credential that a request presents. Two are refused, since it is not certain which one counts for a proxy on the way.
fn credential(headers: &HeaderMap) -> Result<&str, CredentialProblem> {
    let mut authorizations = headers.get_all("authorization").iter();
    let mut keys = headers.get_all("x-api-key").iter();
    match (authorizations.next(), keys.next(), authorizations.next().or(keys.next())) {
        (None, None, _) => Err(CredentialProblem::Missing),
        (Some(authorization), None, None) => {
            let text = authorization.to_str().map_err(|_| CredentialProblem::Invalid)?;
            match text.split_once(' ') {
                Some((scheme, credential)) if scheme.eq_ignore_ascii_case("bearer") => Ok(credential.trim()),
                Some(_) | None => Err(CredentialProblem::Invalid),
            }
        }
        (None, Some(key), None) => key.to_str().map(str::trim).map_err(|_| CredentialProblem::Invalid),
        (Some(_), Some(_), _) | (_, _, Some(_)) => Err(CredentialProblem::Several),
    }
}

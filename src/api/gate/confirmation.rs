//! Confirms the caller once more before the answer is recorded, and ends the work of a caller whose key is revoked or expires, or
//! whose right is taken away, while the work waits.
//!
//! This layer sees to the answer of a read, so that the audit record tells the refusal. A change that was made stays made: its
//! answer is recorded as it is, and [`Audit`](super::audit::Audit) confirms the caller after the record.
//!
//! The answer can also take a while to leave. Its [`Recipient`] tells the server when to end it.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use tokio::time::timeout;
use tonic::body::Body;
use tower::Service;

use super::{Admitted, Answer, refusal};
use crate::api::strongroom_v1::status::failure;
use crate::app::App;
use crate::auth::Authorization;

/// How long a change may still take after the end of its caller's key. A commit that began before the end is made by then, and its
/// outcome is recorded. One that begins later is refused.
const LAST_COMMIT: Duration = Duration::from_millis(500);

/// The caller whom a reply goes to. It is among the extensions of each answer that may take a while to leave.
#[derive(Clone)]
pub(crate) struct Recipient {
    app: Arc<App>,
    caller: Arc<Authorization>,
}

impl Recipient {
    /// Waits until the caller's credential is not in force any more, or what the caller was granted is taken away.
    pub(crate) fn ended(self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { drop(self.app.access.ended(&self.caller).await) })
    }

    /// The same answer, for the caller.
    fn of(app: Arc<App>, caller: Arc<Authorization>, mut answer: Response<Body>) -> Response<Body> {
        answer.extensions_mut().insert(Self { app, caller });
        answer
    }
}

/// Answers callers whose keys are in force to the end.
#[derive(Clone)]
pub(super) struct Confirmation<S> {
    app: Arc<App>,
    inner: S,
}

impl<S> Confirmation<S> {
    pub(super) fn new(app: Arc<App>, inner: S) -> Self {
        Self { app, inner }
    }
}

impl<S> Service<Admitted> for Confirmation<S>
where
    S: Service<Admitted, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, admitted: Admitted) -> Self::Future {
        let (app, call) = (self.app.clone(), admitted.call.clone());
        let work = self.inner.call(admitted);
        Box::pin(async move {
            let mut work = pin!(work);
            let answer = tokio::select! {
                // The end of the key is looked for only once the work waits.
                biased;
                answer = &mut work => answer?,
                ended = app.access.ended(&call.caller) => {
                    if !call.rpc.changes {
                        return Ok(refusal(&call.entry, &ended));
                    }
                    match timeout(LAST_COMMIT, work).await {
                        Ok(answer) => answer?,
                        Err(_elapsed) => return Ok(refusal(&call.entry, &ended)),
                    }
                }
            };
            if call.rpc.changes && failure(&answer).is_none() {
                return Ok(Recipient::of(app, call.caller, answer));
            }
            match app.access.confirm(&call.caller) {
                Ok(()) => Ok(Recipient::of(app, call.caller, answer)),
                Err(ended) => Ok(refusal(&call.entry, &ended)),
            }
        })
    }
}

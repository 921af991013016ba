//! Writes the audit record of each request before its answer leaves. Where it cannot be written, the request is answered
//! with an error instead.
//!
//! The record can take a moment to be written, in which the caller's key can be revoked or expire. So the caller is confirmed after
//! that, too. If the key is not in force any more, a second record with the refusal follows the first one, and the refusal is the
//! answer. Then the first record says that the request was carried out, and the second one that its answer was withheld.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tonic::body::Body;
use tower::Service;

use super::{Answer, Arrived, refusal};
use crate::api::request::AuditEntry;
use crate::api::strongroom_v1::status::{failure, response};
use crate::app::{self, App, Error};

/// Records each request, refused ones too.
#[derive(Clone)]
pub(super) struct Audit<S> {
    app: Arc<App>,
    inner: S,
}

impl<S> Audit<S> {
    pub(super) fn new(app: Arc<App>, inner: S) -> Self {
        Self { app, inner }
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
        let (app, entry) = (self.app.clone(), arrived.entry.clone());
        let answer = self.inner.call(arrived);
        Box::pin(async move {
            let answer = answer.await?;
            let failure = failure(&answer);
            let _step = app::RequestRecord::step(&*entry, "write the audit record");
            let unwritable = |unwritable| Ok(response(&Error::from(unwritable), &entry.request_id));
            let record = match entry.write(failure).await {
                Ok(Some(record)) if failure.is_none() => record,
                Ok(_) => return Ok(answer),
                Err(error) => return unwritable(error),
            };
            app.request_recorded(app::RequestRecord::id(&*entry));
            let Some(refusal) = withheld(&app, &entry) else { return Ok(answer) };
            match entry.write_withheld(record, self::failure(&refusal)).await {
                Ok(()) => Ok(refusal),
                Err(error) => unwritable(error),
            }
        })
    }
}

/// The refusal in place of an answer whose caller's key is not in force any more.
fn withheld(app: &App, entry: &AuditEntry) -> Option<Response<Body>> {
    let ended = app.access.confirm(&*entry.caller()?).err()?;
    Some(refusal(entry, &ended))
}

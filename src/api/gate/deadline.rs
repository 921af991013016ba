//! How long a request may take: as long as its caller waits, and 30 seconds at most. A read also ends when its caller hangs up.
//!
//! [`Deadline`] stands outside of the request's task and answers a caller whose time is up, while the task goes on to its
//! end and to its audit record. [`Limit`] stands inside and ends the work itself.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Response};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::body::Body;
use tower::Service;

use super::task::Spawned;
use super::{Admitted, Answer, Arrived, late};
use crate::api::request::AuditEntry;
use crate::api::strongroom_v1::status::abandoned;
use crate::app;

/// How long a request may take, from its headers to its answer, however long the caller waits.
pub(super) const MAX_TIME: Duration = Duration::from_secs(30);
/// How much of the caller's time is left for the answer to arrive in.
const RETURN: Duration = Duration::from_millis(100);

/// Answers in the caller's time (`grpc-timeout`).
#[derive(Clone)]
pub(super) struct Deadline<S> {
    inner: S,
}

impl<S> Deadline<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Arrived> for Deadline<S>
where
    S: Service<Arrived, Response = Response<Body>, Error = Infallible, Future = Spawned>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = InTime;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut arrived: Arrived) -> InTime {
        let end = patience(arrived.http.headers()).map(|patience| Instant::now() + patience);
        if let Some(end) = end {
            arrived.until = arrived.until.min(end);
        }
        let timer = end.map(|end| Box::pin(sleep_until(end)));
        InTime { entry: arrived.entry.clone(), answer: self.inner.call(arrived), timer }
    }
}

/// An answer that comes in time.
pub(crate) struct InTime {
    answer: Spawned,
    timer: Option<Pin<Box<Sleep>>>,
    entry: Arc<AuditEntry>,
}

impl InTime {
    /// Whether the work on the request has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.answer.has_begun()
    }
}

impl Future for InTime {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(context) {
            return Poll::Ready(answer);
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        // The clock is asked at every poll: the transport's own timer, which is set for later, can fire before this one
        // where both are due.
        if timer.as_mut().poll(context).is_ready() || Instant::now() >= timer.deadline() {
            self.answer.answered();
            return Poll::Ready(Ok(late(&self.entry)));
        }
        Poll::Pending
    }
}

/// Ends work that takes too long, and tells the app until when a change is worth beginning.
#[derive(Clone)]
pub(super) struct Limit<S> {
    inner: S,
}

impl<S> Limit<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Admitted> for Limit<S>
where
    S: Service<Admitted, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, admitted: Admitted) -> Self::Future {
        // The clone takes the place of the service that was polled ready.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let (until, entry) = (admitted.until, admitted.call.entry.clone());
            // A change that was begun goes on to its end. Nobody waits for the end of a read.
            let changes = admitted.call.rpc.changes;
            let end = if changes { Instant::now() + MAX_TIME } else { until };
            let work = app::recorded(entry.clone(), app::until(until.into_std(), inner.call(admitted)));
            tokio::select! {
                biased;
                answer = timeout_at(end, work) => match answer {
                    Ok(answer) => answer,
                    Err(_elapsed) => Ok(late(&entry)),
                },
                // Only the audit sees this.
                () = entry.abandoned(), if !changes => Ok(abandoned()),
            }
        })
    }
}

/// How long the caller waits, less a little, so that an answer arrives in time (and before the transport, which has no
/// details to give, answers itself).
pub(super) fn patience(headers: &HeaderMap) -> Option<Duration> {
    let asked = grpc_timeout(headers.get("grpc-timeout")?.as_bytes())?;
    Some(asked.saturating_sub(RETURN.min(asked / 5)))
}

/// A timeout as gRPC over HTTP/2 writes it: 1 to 8 digits and a unit.
fn grpc_timeout(text: &[u8]) -> Option<Duration> {
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

    #[test]
    fn a_timeout_is_read_as_grpc_writes_it() {
        let read = |text: &str| grpc_timeout(text.as_bytes());
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for text in ["", "S", "1", "1x", "-1S", "100000000S", "1.5S"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

//! What is refused because the server has more to do than it can: by the gate, and by the server before it reads a request, on a
//! connection whose requests the gate refuses again and again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::RequestMetrics;
use super::queue_time::QueueTime;
use crate::api::error::Refusal;
use crate::api::request::AuditEntry;
use crate::api::strongroom_v1::status::response;
use crate::audit::Auditor;
use crate::domain::new_id;

/// How many requests of a connection the gate refuses, with little time between them, before it says that the connection is overloaded.
const MANY: u64 = 4;

/// For how long a refusal counts for the next one, and the patience of a caller for others of the connection.
const RECENT: Duration = Duration::from_secs(1);

/// What tells whether the server has more to do than it can, and what is told of it.
pub(super) struct Overload {
    queue_time: Arc<QueueTime>,
    auditor: Arc<dyn Auditor>,
    metrics: Arc<RequestMetrics>,
}

/// A connection of which the gate has refused requests.
pub(super) struct Overloaded {
    overload: Arc<Overload>,
    /// How many requests were refused in this overload.
    refused: AtomicU64,
    /// When the last one was refused, in nanoseconds since this was made.
    refused_last: AtomicU64,
    made: Instant,
    /// How long its callers wait, in nanoseconds: the most patient one of the last second or so.
    patience: AtomicU64,
    /// When that was noted, in nanoseconds since this was made.
    noted: AtomicU64,
}

/// Refusals of requests that were not read, with one id.
pub(crate) struct UnreadRefusal {
    overload: Arc<Overload>,
    peer: SocketAddr,
    request_id: Box<str>,
    /// Those that are not recorded.
    many: u64,
}

impl Overload {
    pub(super) fn new(
        queue_time: Arc<QueueTime>,
        auditor: Arc<dyn Auditor>,
        metrics: Arc<RequestMetrics>,
    ) -> Self {
        Self { queue_time, auditor, metrics }
    }

    /// Whether a request would wait too long here whose caller waits for so long.
    pub(super) fn is_too_long_for(&self, patience: Duration) -> bool {
        self.queue_time.is_too_long_for(patience, 0)
    }

    /// Counts a request that the gate refuses.
    pub(super) fn count(&self) {
        self.metrics.count_overload(1);
    }
}

impl Overloaded {
    /// A connection of which no request was refused yet.
    pub(super) fn new(overload: &Arc<Overload>) -> Self {
        let zero = || AtomicU64::new(0);
        let (made, overload) = (Instant::now(), overload.clone());
        Self { overload, refused: zero(), refused_last: zero(), made, patience: zero(), noted: zero() }
    }

    /// Notes that the gate has refused a request.
    pub(super) fn refused(&self) {
        let now = nanos(self.made.elapsed());
        let age = now.saturating_sub(self.refused_last.swap(now, Ordering::Relaxed));
        // A connection can live for weeks, with a short burst now and then.
        if age > nanos(RECENT) {
            self.refused.store(0, Ordering::Relaxed);
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how long the caller of a request waits.
    pub(super) fn note(&self, patience: Duration) {
        let (patience, now) = (nanos(patience), nanos(self.made.elapsed()));
        let age = now.saturating_sub(self.noted.load(Ordering::Relaxed));
        // Two requests at once may lose one of the two: the next one tells.
        if patience >= self.patience.load(Ordering::Relaxed) || age > nanos(RECENT) {
            self.patience.store(patience, Ordering::Relaxed);
            self.noted.store(now, Ordering::Relaxed);
        }
    }

    /// Whether the gate has refused many.
    pub(super) fn is_many(&self) -> bool {
        self.refused.load(Ordering::Relaxed) >= MANY
    }

    /// Whether a request would wait too long, behind so many more, for the most patient caller of late.
    pub(super) fn is_too_long(&self, more: usize) -> bool {
        let patience = Duration::from_nanos(self.patience.load(Ordering::Relaxed));
        self.overload.queue_time.is_too_long_for(patience, more)
    }

    /// A refusal for requests that are not read, and its headers.
    pub(super) fn refuse_unread(&self, peer: SocketAddr) -> (UnreadRefusal, HeaderMap) {
        let request_id = new_id().to_string();
        let headers = response(Refusal::overloaded(), &request_id).into_parts().0.headers;
        let refusal =
            UnreadRefusal { overload: self.overload.clone(), peer, request_id: request_id.into(), many: 0 };
        (refusal, headers)
    }
}

impl UnreadRefusal {
    /// Counts a request that was refused so.
    pub(crate) fn add(&mut self) {
        self.many += 1;
    }

    /// Records those that were added since it did so the last time, if there are some.
    pub(crate) fn record(&mut self) -> bool {
        let many = std::mem::take(&mut self.many);
        if many == 0 {
            return false;
        }
        let Overload { auditor, metrics, .. } = &*self.overload;
        metrics.count_overload(many);
        let entry = AuditEntry::new(None, self.request_id.clone(), None, Some(self.peer), auditor.clone());
        entry.refused(&Refusal::overloaded(), many);
        true
    }
}

impl Drop for UnreadRefusal {
    fn drop(&mut self) {
        self.record();
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// An overload of tests. It ends when this is dropped.
#[cfg(test)]
pub(crate) struct TestOverload {
    pub(crate) connection: Arc<super::Connection>,
    _first: super::connection::WaitingRequest,
    _waiting: Vec<super::queue_time::Waiting>,
}

#[cfg(test)]
impl TestOverload {
    /// A connection of which the gate has refused many requests, and has let one in.
    pub(crate) fn new(auditor: Arc<dyn Auditor>) -> Self {
        let queue_time = Arc::new(QueueTime::new());
        let waiting = (0..100_000).map(|_| queue_time.enter()).collect();
        let overload = Arc::new(Overload::new(queue_time, auditor, Arc::default()));
        let connection = Arc::new(super::Connection::new(([127, 0, 0, 1], 1).into(), 100, 1));
        (0..MANY).for_each(|_| connection.refused(&overload));
        connection.note(Duration::from_secs(1));
        let first = connection.begin();
        Self { connection, _first: first, _waiting: waiting }
    }
}

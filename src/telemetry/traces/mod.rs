//! Traces for OpenTelemetry: one span for each request that is traced, sent to a collector over OTLP/gRPC. Off unless the settings
//! name a collector: then nothing here is made, and a request costs nothing more.
//!
//! A request that comes with a W3C trace context is traced if its caller traces it; one without is traced by chance, as the
//! settings say. A span that has ended goes into a bounded queue, and [`export`] takes it from there: a request never waits for
//! the collector. A span has the RPC, the id of the request, its code and its times. It never has a value, a credential, or a name:
//! nothing of a request's message reaches this module, and of its headers only the trace context.

mod context;
mod export;
mod message;
mod request;
mod span;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use tokio::sync::mpsc;
use uuid::Uuid;

use self::context::Context;
pub use self::export::{Exporting, TracesError};
use self::span::Ended;
pub use self::span::{RequestSpan, Span, Step};
use crate::config::Otlp;

/// How many spans wait for the collector at most. Each takes some hundred bytes.
const ROOM: usize = 2048;
/// The code of gRPC for a caller that was not established.
const UNAUTHENTICATED: usize = 16;

/// Which requests are traced, and the queue of their spans.
pub struct Traces {
    sampled: Ratio,
    queue: mpsc::Sender<Ended>,
    counts: Arc<SpanCounts>,
}

/// What became of the spans that have ended.
#[derive(Debug, Default)]
struct SpanCounts {
    sent: AtomicU64,
    queue_full: AtomicU64,
    not_sent: AtomicU64,
    rejected: AtomicU64,
}

/// What became of the spans until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpansRead {
    /// Spans that the collector has taken.
    pub sent: u64,
    /// Spans that found no room in the queue.
    pub queue_full: u64,
    /// Spans that could not be sent to the collector.
    pub not_sent: u64,
    /// Spans that the collector did not want.
    pub rejected: u64,
}

/// The id of the trace that the headers of a request name, in hex digits; `None`: they name none, or it is not valid.
pub fn trace_id(headers: &HeaderMap) -> Option<String> {
    Context::of(headers).map(|context| data_encoding::HEXLOWER.encode(&context.trace))
}

impl Traces {
    /// Starts to send spans to the collector, until the other value is finished or dropped. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// The system has no authorities with which to verify a collector's certificate.
    pub fn start(otlp: &Otlp) -> Result<(Arc<Self>, Exporting), TracesError> {
        let (queue, ended) = mpsc::channel(ROOM);
        let counts = Arc::<SpanCounts>::default();
        let exporting = Exporting::start(otlp, ended, counts.clone())?;
        let traces = Self { sampled: Ratio::new(otlp.sample_ratio), queue, counts };
        Ok((Arc::new(traces), exporting))
    }

    /// Begins the span of a request that has just arrived, if it is traced. `rpc` is its full name; `None`: it does not exist.
    ///
    /// The id of the request serves as the id of a trace that begins here.
    pub fn begin(
        self: &Arc<Self>,
        headers: &HeaderMap,
        request: Uuid,
        rpc: Option<&'static str>,
    ) -> Option<Box<RequestSpan>> {
        let context = match Context::of(headers) {
            Some(context) if context.sampled => context,
            None if self.sampled.has(request) => Context::beginning(request),
            Some(_) | None => return None,
        };
        Some(Box::new(RequestSpan::begin(self.clone(), context, request, rpc)))
    }

    /// What became of the spans until now.
    pub fn read(&self) -> SpansRead {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let SpanCounts { sent, queue_full, not_sent, rejected } = &*self.counts;
        SpansRead {
            sent: read(sent),
            queue_full: read(queue_full),
            not_sent: read(not_sent),
            rejected: read(rejected),
        }
    }

    /// Queues a span that has ended, or drops it where there is no room. Requests of strangers take half of the room at most, so
    /// that they drive out no other spans.
    fn queue(&self, ended: Ended) {
        let room = ended.code != UNAUTHENTICATED || self.queue.capacity() > ROOM / 2;
        if !room || self.queue.try_send(ended).is_err() {
            self.counts.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The part of all traces that is taken.
#[derive(Debug, Clone, Copy)]
struct Ratio {
    /// The ids below this number are taken, of the numbers of 32 bits.
    below: u64,
}

impl Ratio {
    fn new(ratio: f64) -> Self {
        const ALL: f64 = 4_294_967_296.0; // 2 to the power of 32
        Self { below: (ratio.clamp(0.0, 1.0) * ALL) as u64 }
    }

    /// Whether the trace with this id is taken. The last 32 bits of the id of a request are random.
    fn has(self, id: Uuid) -> bool {
        let [.., a, b, c, d] = id.into_bytes();
        u64::from(u32::from_be_bytes([a, b, c, d])) < self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::new_id;

    const GET: &str = "strongroom.v1.SecretService/GetSecret";

    fn traces(ratio: f64) -> (Arc<Traces>, mpsc::Receiver<Ended>) {
        let (queue, ended) = mpsc::channel(ROOM);
        (Arc::new(Traces { sampled: Ratio::new(ratio), queue, counts: Arc::default() }), ended)
    }

    fn headers(traceparent: &str) -> HeaderMap {
        [("traceparent".parse().unwrap(), traceparent.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_request_joins_the_trace_of_its_caller_whatever_the_ratio() {
        let (traces, mut queue) = traces(0.0);
        let id = new_id();
        let sampled = headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        traces.begin(&sampled, id, Some(GET)).unwrap().end(0, None);
        let ended = queue.try_recv().unwrap();
        assert_eq!(ended.context.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
        assert_eq!(ended.context.parent, Some(0xb7ad_6b71_6920_3331_u64.to_be_bytes()));
        assert_eq!((ended.rpc, ended.code, ended.request), (Some(GET), 0, id));
        assert_ne!(ended.id, [0; 8]);
        assert!(ended.ended >= ended.began && ended.began > 1_700_000_000_000_000_000);
    }

    #[test]
    fn a_caller_that_does_not_trace_is_not_traced() {
        let (traces, mut queue) = traces(1.0);
        let unsampled = headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        assert!(traces.begin(&unsampled, new_id(), Some(GET)).is_none());
        // This is no context, so the trace begins here.
        let invalid = headers("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-00");
        let id = new_id();
        drop(traces.begin(&invalid, id, None).unwrap());
        let ended = queue.try_recv().unwrap();
        assert_eq!((ended.context.trace, ended.context.parent), (id.into_bytes(), None));
        assert_eq!(ended.code, 1, "nobody has answered the request: it was cancelled");
    }

    #[test]
    fn the_ratio_counts_for_requests_without_a_caller_that_traces() {
        let sampled = |ratio: f64| {
            let ratio = Ratio::new(ratio);
            (0..10_000).filter(|_| ratio.has(new_id())).count()
        };
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 10_000));
        let half = sampled(0.5);
        assert!((4_000..6_000).contains(&half), "{half} of 10,000");
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_strangers_fill_half_of_it() {
        let (traces, mut queue) = traces(1.0);
        let end = |code| traces.begin(&HeaderMap::new(), new_id(), Some(GET)).unwrap().end(code, None);
        for _ in 0..ROOM {
            end(UNAUTHENTICATED);
        }
        let strangers = traces.read().queue_full;
        assert_eq!(strangers, (ROOM / 2) as u64);
        for _ in 0..ROOM {
            end(0);
        }
        assert_eq!(traces.read().queue_full - strangers, (ROOM / 2) as u64);
        let mut kept = 0;
        while queue.try_recv().is_ok() {
            kept += 1;
        }
        assert_eq!(kept, ROOM);
    }
}

//! The span of a request, from its arrival to the end of its answer, and the steps within it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use super::Traces;
use super::context::Context;
use crate::domain::now;

/// The code of gRPC for a request whose caller has gone.
const CANCELLED: usize = 1;
/// How many steps of a request are told at most.
const MAX_STEPS: usize = 16;

/// The span of a request. It ends when it is dropped: then the caller has gone before the answer had its end.
pub struct RequestSpan {
    traces: Arc<Traces>,
    context: Context,
    request: Uuid,
    rpc: Option<&'static str>,
    span: Arc<Span>,
    /// Whether it is queued already.
    ended: bool,
}

/// The span of a request that is under way, to which those who work on the request add their steps.
#[derive(Debug)]
pub struct Span {
    /// The id of the trace.
    trace: [u8; 16],
    /// When the span began, in nanoseconds since 1970.
    began: u64,
    /// The same moment, from which times within the span are measured.
    at: Instant,
    steps: Mutex<Vec<EndedStep>>,
}

/// A step of a request, such as a commit. It ends when it is dropped.
#[derive(Debug)]
pub struct Step {
    span: Arc<Span>,
    name: &'static str,
    began: u64,
}

/// A span that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) context: Context,
    /// The id of the span.
    pub(super) id: [u8; 8],
    pub(super) request: Uuid,
    pub(super) rpc: Option<&'static str>,
    /// The code of gRPC.
    pub(super) code: usize,
    /// The reason of the error.
    pub(super) reason: Option<&'static str>,
    /// The time of the beginning and of the end, in nanoseconds since 1970.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) steps: Vec<EndedStep>,
}

/// A step that has ended.
#[derive(Debug)]
pub(super) struct EndedStep {
    pub(super) name: &'static str,
    pub(super) began: u64,
    pub(super) ended: u64,
}

impl RequestSpan {
    pub(super) fn begin(
        traces: Arc<Traces>,
        context: Context,
        request: Uuid,
        rpc: Option<&'static str>,
    ) -> Self {
        let micros = u64::try_from(now().as_micros()).unwrap_or_default();
        let span = Span {
            trace: context.trace,
            began: micros.saturating_mul(1000),
            at: Instant::now(),
            steps: Mutex::default(),
        };
        Self { traces, context, request, rpc, span: Arc::new(span), ended: false }
    }

    /// The span for those who work on the request.
    pub fn span(&self) -> Arc<Span> {
        self.span.clone()
    }

    /// Ends it with a code of gRPC, and the reason of the error.
    pub fn end(mut self, code: usize, reason: Option<&'static str>) {
        self.queue(code, reason);
    }

    fn queue(&mut self, code: usize, reason: Option<&'static str>) {
        self.ended = true;
        // The last 8 bytes of the request's id: 62 bits that no other request has, and never zero.
        let [.., a, b, c, d, e, f, g, h] = self.request.into_bytes();
        self.traces.queue(Ended {
            context: self.context.clone(),
            id: [a, b, c, d, e, f, g, h],
            request: self.request,
            rpc: self.rpc,
            code,
            reason,
            began: self.span.began,
            ended: self.span.now(),
            steps: self.span.with_steps(std::mem::take),
        });
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        if !self.ended {
            self.queue(CANCELLED, None);
        }
    }
}

impl Span {
    /// Begins a step, which ends when it is dropped.
    pub fn step(self: &Arc<Self>, name: &'static str) -> Step {
        Step { began: self.now(), span: self.clone(), name }
    }

    /// The id of the trace, in hex digits.
    pub fn trace_id(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.trace)
    }

    /// The present time, in nanoseconds since 1970. It never goes back within a span.
    fn now(&self) -> u64 {
        let since = u64::try_from(self.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.began.saturating_add(since)
    }

    fn with_steps<T>(&self, work: impl FnOnce(&mut Vec<EndedStep>) -> T) -> T {
        work(&mut self.steps.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let ended = EndedStep { name: self.name, began: self.began, ended: self.span.now() };
        // A step of a request that was answered already is told to nobody.
        self.span.with_steps(|steps| {
            if steps.len() < MAX_STEPS {
                steps.push(ended);
            }
        });
    }
}

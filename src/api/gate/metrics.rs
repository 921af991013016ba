//! What the gate measures of requests: how many of each RPC there were and how they ended, and how long they took.
//!
//! A measurement is a few atomic additions. An RPC that does not exist counts as `unknown`, since its name could be anything.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use crate::api::request::Rpc;
use crate::api::strongroom_v1::rpcs;
use crate::metrics::{Histogram, HistogramReading, Total};

/// The codes of gRPC by their numbers.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const CANCELLED: usize = 1;
const UNKNOWN: usize = 2;
const DEADLINE_EXCEEDED: usize = 4;

/// The name of all RPCs that do not exist.
const UNKNOWN_RPC: &str = "unknown";
/// The names of the services that anyone may call.
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.ServerReflection";

/// What was measured of all requests.
#[derive(Debug)]
pub(crate) struct RequestMetrics {
    /// By the numbers of the RPCs.
    rpcs: Vec<RpcMetrics>,
    unknown: RpcMetrics,
    health: RpcMetrics,
    reflection: RpcMetrics,
    /// Requests that were dropped before any work on them had begun.
    shed: Total,
    /// Requests that were refused because the server had too much to do, with those that were not read.
    overload: Total,
}

/// What was measured of one RPC.
#[derive(Debug)]
struct RpcMetrics {
    name: &'static str,
    codes: [Total; CODES.len()],
    time: Histogram,
}

/// What was measured of one RPC until now.
pub(crate) struct RpcReading {
    /// The name of the RPC.
    pub(crate) name: &'static str,
    /// How many requests ended with each code, for those that there were.
    pub(crate) codes: Vec<(&'static str, u64)>,
    /// How long they took until their answers began.
    pub(crate) time: HistogramReading,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            rpcs: rpcs::names().map(RpcMetrics::new).collect(),
            unknown: RpcMetrics::new(UNKNOWN_RPC),
            health: RpcMetrics::new(HEALTH),
            reflection: RpcMetrics::new(REFLECTION),
            shed: Total::default(),
            overload: Total::default(),
        }
    }
}

impl RpcMetrics {
    fn new(name: &'static str) -> Self {
        Self { name, codes: Default::default(), time: Histogram::of_times() }
    }

    fn count(&self, code: usize, began: Instant) {
        if let Some(code) = self.codes.get(code) {
            code.add(1);
        }
        self.time.observe(began.elapsed());
    }
}

impl RequestMetrics {
    /// What was measured of each RPC that was called.
    pub(crate) fn read(&self) -> Vec<RpcReading> {
        let all = self.rpcs.iter().chain([&self.unknown, &self.health, &self.reflection]);
        let reading = |rpc: &RpcMetrics| RpcReading {
            name: rpc.name,
            codes: CODES
                .into_iter()
                .zip(rpc.codes.iter().map(Total::read))
                .filter(|(_, count)| *count > 0)
                .collect(),
            time: rpc.time.read(),
        };
        all.map(reading).filter(|reading| !reading.codes.is_empty()).collect()
    }

    /// Counts requests that are refused because the server has too much to do.
    pub(super) fn count_overload(&self, many: u64) {
        self.overload.add(many);
    }

    /// How many requests were refused because the server had too much to do.
    pub(crate) fn overload(&self) -> u64 {
        self.overload.read()
    }

    /// How many requests were dropped before any work on them had begun.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.read()
    }

    fn of(&self, called: Called) -> &RpcMetrics {
        match called {
            Called::Rpc(Some(rpc)) => self.rpcs.get(rpc.number).unwrap_or(&self.unknown),
            Called::Rpc(None) => &self.unknown,
            Called::Health => &self.health,
            Called::Reflection => &self.reflection,
        }
    }
}

/// The number of the code that headers or trailers tell; `None`: they tell none.
pub(super) fn code_of(headers: &HeaderMap) -> Option<usize> {
    let code = headers.get("grpc-status")?;
    let number = std::str::from_utf8(code.as_bytes()).ok().and_then(|code| code.parse().ok());
    Some(number.filter(|code| *code < CODES.len()).unwrap_or(UNKNOWN))
}

/// What a request calls.
#[derive(Clone, Copy)]
pub(super) enum Called {
    /// An RPC; `None`: one that does not exist.
    Rpc(Option<&'static Rpc>),
    Health,
    Reflection,
}

/// The measurement of one request. A request whose caller hangs up before its answer counts as cancelled.
pub(super) struct Measured {
    metrics: Arc<RequestMetrics>,
    called: Called,
    began: Instant,
    answered: bool,
}

impl Measured {
    /// Begins the measurement of a request that has arrived.
    pub(super) fn begin(metrics: Arc<RequestMetrics>, called: Called) -> Self {
        Self { metrics, called, began: Instant::now(), answered: false }
    }

    /// Counts a request with the headers of its answer. `begun`: whether the work on it had begun.
    pub(super) fn answered(&mut self, headers: &HeaderMap, begun: bool) {
        self.end(code_of(headers).unwrap_or(0), begun);
    }

    /// Counts a request whose caller has hung up.
    pub(super) fn abandoned(&mut self, begun: bool) {
        if !self.answered {
            self.end(CANCELLED, begun);
        }
    }

    fn end(&mut self, code: usize, begun: bool) {
        self.answered = true;
        self.metrics.of(self.called).count(code, self.began);
        if !begun && matches!(code, CANCELLED | DEADLINE_EXCEEDED) {
            self.metrics.shed.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::api::strongroom_v1::rpcs::of_path;

    #[test]
    fn a_request_counts_by_its_rpc_and_code() {
        let metrics = Arc::new(RequestMetrics::default());
        let begin = |called| Measured::begin(metrics.clone(), called);
        let get = Called::Rpc(of_path("/strongroom.v1.SecretService/GetSecret"));
        begin(get).answered(&HeaderMap::new(), true);
        begin(get).answered(Status::not_found("").into_http::<()>().headers(), true);
        begin(Called::Rpc(of_path("/x/y")))
            .answered(Status::unimplemented("").into_http::<()>().headers(), true);
        begin(Called::Health).answered(&HeaderMap::new(), true);
        let read: Vec<_> =
            metrics.read().into_iter().map(|rpc| (rpc.name, rpc.codes, rpc.time.count)).collect();
        let expected = [
            ("strongroom.v1.SecretService/GetSecret", vec![("OK", 1), ("NOT_FOUND", 1)], 2),
            ("unknown", vec![("UNIMPLEMENTED", 1)], 1),
            ("grpc.health.v1.Health", vec![("OK", 1)], 1),
        ];
        assert_eq!(read, expected);
        assert_eq!(metrics.shed(), 0);
    }

    #[test]
    fn a_request_that_ends_before_any_work_is_shed() {
        let metrics = Arc::new(RequestMetrics::default());
        let begin = || Measured::begin(metrics.clone(), Called::Rpc(None));
        let late = Status::deadline_exceeded("").into_http::<()>();
        begin().answered(late.headers(), true);
        begin().abandoned(true);
        assert_eq!(metrics.shed(), 0);
        begin().answered(late.headers(), false);
        begin().abandoned(false);
        assert_eq!(metrics.shed(), 2);
        let mut answered = begin();
        answered.answered(&HeaderMap::new(), true);
        answered.abandoned(true);
        let read = metrics.read();
        assert_eq!(read[0].codes, [("OK", 1), ("CANCELLED", 2), ("DEADLINE_EXCEEDED", 2)]);
    }

    #[test]
    fn the_codes_are_those_of_grpc() {
        for (number, name) in (0..).zip(CODES) {
            let code = format!("{:?}", tonic::Code::from_i32(number)).to_uppercase();
            assert_eq!(code, name.replace('_', ""));
        }
    }
}

//! The measurements as text, each with what it means and its unit. docs/metrics.md has a table of them, which a test compares.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{Reading, ServiceReading};
use crate::app::UnreadyCause;
use crate::domain::Timestamp;
use crate::limits::LimitUse;
use crate::metrics::HistogramReading;
use crate::telemetry::traces::SpansRead;

/// The measurements as text.
pub(super) fn of(reading: Reading) -> String {
    let mut registry = Registry::with_prefix("strongroom");
    registry.register_collector(Box::new(Page(reading)));
    let mut text = String::new();
    if prometheus_text::encode(&mut text, &registry).is_err() {
        tracing::error!("the metrics could not be written, because of a defect");
    }
    text
}

struct Page(Reading);

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page(..)")
    }
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (reading, mut out) = (&self.0, Writer(encoder));
        server(reading, &mut out)?;
        requests(reading, &mut out)?;
        spans(&reading.spans, &mut out)?;
        process(reading, &mut out)?;
        let Some(service) = &reading.service else { return Ok(()) };
        limits(&service.metrics.limits, &mut out)?;
        quotas(service.metrics.largest_quota_use, &mut out)?;
        store(service, &mut out)?;
        secrets(service, &mut out)?;
        scheduler(reading, service, &mut out)?;
        audit_log(service, &mut out)
    }
}

fn server(reading: &Reading, out: &mut Writer<'_>) -> fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    let store = reading.service.as_ref().map_or("unknown", |service| service.metrics.engine);
    out.info(
        "build",
        "The version of the server and the engine of its store",
        &[("version", version), ("store", store)],
    )?;
    out.gauge(
        "start_time",
        "When the server started, in seconds since 1970",
        Some(Unit::Seconds),
        seconds(reading.started_at),
    )?;
    out.gauge(
        "clock_time",
        "The time of the server's clock, in seconds since 1970",
        Some(Unit::Seconds),
        seconds(reading.now),
    )?;
    out.gauge("ready", "Whether requests are served: 1, or else 0", None, flag(reading.ready.is_ready()))?;
    let causes = UnreadyCause::ALL.map(|cause| {
        let counts = reading.ready.unready.iter().any(|unready| unready.cause == cause);
        ([("cause", cause.name())], flag(counts))
    });
    out.gauges("unready", "Whether requests are refused for this cause: 1, or else 0", None, causes)
}

fn requests(reading: &Reading, out: &mut Writer<'_>) -> fmt::Result {
    let ended = reading
        .rpcs
        .iter()
        .flat_map(|rpc| rpc.codes.iter().map(|(code, count)| ([("rpc", rpc.name), ("code", *code)], *count)));
    out.counters(
        "requests",
        "Requests that were answered, by RPC and code; CANCELLED if the caller had gone",
        ended,
    )?;
    let times = reading.rpcs.iter().map(|rpc| ([("rpc", rpc.name)], &rpc.time));
    out.histograms(
        "request_duration",
        "The time from a request to the beginning of its answer",
        Some(Unit::Seconds),
        times,
    )?;
    out.gauge("requests_in_flight", "Requests that are worked on now", None, count(reading.in_flight))?;
    out.counter(
        "requests_shed",
        "Requests that were dropped before any work on them, since the caller had gone or its time was up",
        reading.shed,
    )?;
    out.counter(
        "requests_refused_in_overload",
        "Requests that were refused because the server had more to do than it could, with those that it did not read",
        reading.overload,
    )?;
    let used =
        |name| reading.connections.iter().find(|limit| limit.name == name).map_or(0, |limit| limit.used);
    let (all, strangers) = (used("connections"), used("unauthenticated_connections"));
    let open = [("yes", all.saturating_sub(strangers)), ("no", strangers)];
    let open = open.map(|(authenticated, many)| ([("authenticated", authenticated)], many));
    out.gauges(
        "connections_open",
        "Open connections, by whether a credential was presented on them",
        None,
        open,
    )?;
    out.counter("connections_accepted", "Connections that were accepted and got a place", reading.accepted)?;
    out.counters(
        "connections_closed",
        "Connections that the server closed though their peers might have gone on: by cause",
        reading.closed.iter().map(|(cause, many)| ([("cause", *cause)], *many)),
    )
}

fn spans(spans: &SpansRead, out: &mut Writer<'_>) -> fmt::Result {
    let SpansRead { sent, queue_full, not_sent, rejected } = *spans;
    out.counter("trace_spans_sent", "Spans of requests that the collector of traces has taken", sent)?;
    let dropped = [("queue_full", queue_full), ("not_sent", not_sent), ("rejected", rejected)];
    out.counters(
        "trace_spans_dropped",
        "Spans of requests that were dropped: by cause",
        dropped.map(|(cause, many)| ([("cause", cause)], many)),
    )
}

fn process(reading: &Reading, out: &mut Writer<'_>) -> fmt::Result {
    let process = &reading.process;
    out.some_gauge(
        "process_resident_memory",
        "The memory that the process has in use",
        Some(Unit::Bytes),
        process.resident,
    )?;
    out.float_counter(
        "process_cpu",
        "The time of processors that the process has used",
        Unit::Seconds,
        process.cpu,
    )?;
    out.some_gauge(
        "process_open_files",
        "The files and sockets that the process has open",
        None,
        process.files,
    )?;
    out.some_gauge(
        "process_max_files",
        "How many files and sockets the process may have open",
        None,
        process.most_files,
    )?;
    let (free, size) = (reading.disk.map(|disk| disk.0), reading.disk.map(|disk| disk.1));
    out.some_gauge("data_dir_free", "The free room on the disk of the data folder", Some(Unit::Bytes), free)?;
    out.some_gauge("data_dir_size", "The size of the disk of the data folder", Some(Unit::Bytes), size)
}

fn limits(limits: &[LimitUse], out: &mut Writer<'_>) -> fmt::Result {
    let of =
        |pick: fn(&LimitUse) -> u64| limits.iter().map(move |limit| ([("limit", limit.name)], pick(limit)));
    out.gauges(
        "limit_used",
        "How much of a limit is used; for a limit of each principal or peer, by the one that uses most",
        None,
        of(|limit| limit.used),
    )?;
    out.gauges("limit_bound", "The limit", None, of(|limit| limit.limit))?;
    out.counters(
        "limit_refused",
        "Requests and connections that were refused at a limit",
        of(|limit| limit.refused),
    )
}

fn quotas([secrets, bytes]: [Option<f64>; 2], out: &mut Writer<'_>) -> fmt::Result {
    let largest = [("secrets", secrets), ("bytes", bytes)];
    let known = largest.into_iter().filter_map(|(limit, part)| Some(([("limit", limit)], part?)));
    out.gauges(
        "quota_used_ratio",
        "The part of its quota that the namespace uses which uses the largest part; absent if no quota limits this",
        None,
        known,
    )
}

fn store(service: &ServiceReading, out: &mut Writer<'_>) -> fmt::Result {
    let metrics = &service.metrics;
    let commits = &metrics.commits;
    let size = [(NO_LABELS, &commits.batch.read())];
    out.histograms("commit_batch_size", "How many transactions one commit made durable", None, size)?;
    let sync = [(NO_LABELS, &commits.sync.read())];
    out.histograms(
        "commit_sync_duration",
        "The time in which a commit became durable: a sync of the disk, or a transaction of etcd",
        Some(Unit::Seconds),
        sync,
    )?;
    out.counter("commit_failures", "Commits that failed because of the store", commits.failed.read())?;
    out.gauge("store_revision", "The revision of the store that requests see", None, metrics.revision.0)?;
    out.some_gauge(
        "store_revisions_behind",
        "How many revisions this server is behind its store; absent if the store does not answer",
        None,
        metrics.behind,
    )?;
    let skew = metrics.skew;
    out.some_gauge(
        "store_other_servers",
        "How many other servers are over the same store; absent if the store belongs to this server alone",
        None,
        skew.map(|skew| count(skew.others)),
    )?;
    out.some_gauge(
        "clock_difference",
        "How far the clock that differs most from that of this server is from it; absent if the store belongs to this server alone",
        Some(Unit::Seconds),
        skew.map(|skew| skew.largest.unsigned_abs() / 1_000_000),
    )
}

fn secrets(service: &ServiceReading, out: &mut Writer<'_>) -> fmt::Result {
    let (counts, overview) = (&service.metrics.counts, &service.metrics.overview);
    out.gauge("secrets", "Secrets that are not deleted", None, count(counts.secrets))?;
    out.gauge(
        "deleted_secrets",
        "Deleted secrets that can still be brought back",
        None,
        count(counts.deleted_secrets),
    )?;
    out.gauge("namespaces", "Namespaces", None, count(counts.namespaces))?;
    out.gauge("api_keys", "API keys in force", None, overview.api_keys)?;
    out.gauge(
        "unused_api_keys",
        "API keys in force that nobody has used for 30 days",
        None,
        overview.unused_api_keys,
    )?;
    out.gauge("bindings", "Bindings of roles to principals", None, overview.bindings)?;
    out.gauge(
        "damaged_records",
        "Records that could not be opened or were altered",
        None,
        count(counts.damaged),
    )?;
    out.gauge("watches_open", "Watches of changes", None, count(service.metrics.watches))?;
    out.gauge("rotations_planned", "Rotations that are planned or due", None, overview.rotations_planned)?;
    out.gauge("rotations_due", "Rotations that are due", None, overview.rotations_due)?;
    out.gauge(
        "rotations_overdue",
        "Rotations that have been due for more than an hour",
        None,
        overview.rotations_overdue,
    )?;
    out.gauge("rotations_failing", "Rotations whose last attempt failed", None, overview.rotations_failing)?;
    out.gauge("expiring_secrets", "Secrets that expire within 7 days", None, overview.expiring_secrets)
}

fn scheduler(reading: &Reading, service: &ServiceReading, out: &mut Writer<'_>) -> fmt::Result {
    let scheduled = service.scheduled();
    let changes = scheduled.changes().map(|(change, many)| ([("change", change)], many));
    out.counters("scheduler_changes", "Changes of secrets that the server made by itself", changes)?;
    out.counter(
        "scheduler_failures",
        "How often something that was due could not be done",
        scheduled.failed.read(),
    )?;
    let swept = reading.swept.map(|(kind, many)| ([("kind", kind)], many));
    out.counters("swept_records", "Records that were removed because their time had passed", swept)
}

fn audit_log(service: &ServiceReading, out: &mut Writer<'_>) -> fmt::Result {
    let Some(log) = &service.audit_log else { return Ok(()) };
    out.gauge("audit_log_size", "How many records the audit log has", None, log.written)?;
    out.gauge(
        "audit_records_unsynced",
        "Records in the audit log that do not survive a crash yet",
        None,
        log.written.saturating_sub(log.durable),
    )?;
    out.gauge("audit_records_waiting", "Records that wait to be written", None, count(log.waiting))?;
    out.gauge(
        "audit_waiting",
        "The memory that records take which wait to be written",
        Some(Unit::Bytes),
        count(log.waiting_bytes),
    )?;
    out.gauge(
        "audit_log_writable",
        "Whether the audit log can be written: 1, or else 0, and then requests are refused",
        None,
        flag(log.is_writable),
    )?;
    out.gauge(
        "audit_log_whole",
        "Whether all files of the audit log are as they were written: 1, or else 0",
        None,
        flag(log.is_whole),
    )
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

fn flag(holds: bool) -> u64 {
    u64::from(holds)
}

fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

const NO_LABELS: [(&str, &str); 0] = [];

/// Writes metrics, each with its meaning.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.gauges(name, help, unit, [(NO_LABELS, value)])
    }

    /// A metric that is not always known.
    fn some_gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: Option<u64>) -> fmt::Result {
        self.gauges(name, help, unit, value.map(|value| (NO_LABELS, value)))
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (L, impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(NO_LABELS, value)])
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    /// A counter of a quantity that is not always known.
    fn float_counter(&mut self, name: &str, help: &str, unit: Unit, value: Option<f64>) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, Some(&unit), MetricType::Counter)?;
        match value {
            Some(value) => metric.encode_counter::<NoLabelSet, _, f64>(&value, None),
            None => Ok(()),
        }
    }

    fn histograms<'r, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (L, &'r HistogramReading)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        for (labels, HistogramReading { buckets, count, sum }) in samples {
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
        }
        Ok(())
    }

    fn info(&mut self, name: &str, help: &str, labels: &[(&'static str, &'static str); 2]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
    }
}

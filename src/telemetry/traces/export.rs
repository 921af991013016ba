//! Sends the spans that have ended to the collector, in batches, from one task. A batch that the collector does not take in time is
//! dropped and counted: nothing waits for the collector but this task, and what comes meanwhile waits in the bounded queue.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::client::Grpc;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::SpanCounts;
use super::message::{EXPORT, ExportTraceServiceRequest, ExportTraceServiceResponse, Resource};
use super::request;
use super::span::Ended;
use crate::config::Otlp;

/// How many spans a batch has at most.
const BATCH: usize = 512;
/// How long a batch waits for more spans.
const LINGER: Duration = Duration::from_secs(1);
/// How long the collector may take to answer, or to be connected to.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans to be sent.
const FINISH: Duration = Duration::from_secs(2);
/// How often a connection is asked whether its peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How often the log tells at most that spans cannot be sent.
const TELL: Duration = Duration::from_secs(60);

/// Why spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[error("no connection to --otlp-endpoint can be set up: {}", cause(.0))]
pub struct TracesError(#[from] tonic::transport::Error);

/// The task that sends spans. It ends when this is dropped.
pub struct Exporting {
    task: JoinSet<()>,
    stop: oneshot::Sender<()>,
}

impl Exporting {
    /// Starts the task. It connects to the collector once there is something to send.
    pub(super) fn start(
        otlp: &Otlp,
        ended: mpsc::Receiver<Ended>,
        counts: Arc<SpanCounts>,
    ) -> Result<Self, TracesError> {
        let endpoint = Endpoint::from_shared(otlp.endpoint.clone())?
            .connect_timeout(PATIENCE)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(PATIENCE);
        let endpoint = match otlp.tls {
            true => endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?,
            false => endpoint,
        };
        Ok(Self::over(endpoint.connect_lazy(), ended, counts))
    }

    fn over(channel: Channel, ended: mpsc::Receiver<Ended>, counts: Arc<SpanCounts>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let exporter = Exporter {
            ended,
            stopped,
            collector: Grpc::new(channel),
            resource: request::resource(),
            counts,
            told: None,
        };
        let mut task = JoinSet::new();
        task.spawn(exporter.run());
        Self { task, stop }
    }

    /// Sends the spans that wait, for at most 2 seconds.
    pub async fn finish(mut self) {
        let _ = self.stop.send(()); // the task may have panicked
        if timeout(FINISH, self.task.join_next()).await.is_err() {
            tracing::warn!("the last spans were not sent: the collector takes too long");
        }
    }
}

/// What the task has.
struct Exporter {
    ended: mpsc::Receiver<Ended>,
    stopped: oneshot::Receiver<()>,
    collector: Grpc<Channel>,
    /// This server, as the collector is told.
    resource: Resource,
    counts: Arc<SpanCounts>,
    /// When the log has told last that spans cannot be sent; `None`: they can be sent.
    told: Option<Instant>,
}

impl Exporter {
    async fn run(mut self) {
        loop {
            let batch = self.next_batch().await;
            if batch.is_empty() {
                return;
            }
            self.send(batch).await;
        }
    }

    /// Waits for the next spans. None: the process ends, and nothing waits any more.
    async fn next_batch(&mut self) -> Vec<Ended> {
        let mut batch = Vec::new();
        let mut until = None;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            let lingered = sleep_until(until.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                _ = &mut self.stopped, if !self.ended.is_closed() => self.ended.close(),
                received = self.ended.recv_many(&mut batch, room) => match received {
                    0 => break,
                    _ => until = Some(until.unwrap_or_else(|| Instant::now() + LINGER)),
                },
                () = lingered, if until.is_some() => break,
            }
        }
        batch
    }

    /// Sends a batch, and counts what became of it.
    async fn send(&mut self, batch: Vec<Ended>) {
        let many = count(batch.len());
        let request = request::of(self.resource.clone(), batch);
        let sent = timeout(PATIENCE, export(&mut self.collector, request)).await;
        let sent = sent.unwrap_or_else(|_| Err(Status::deadline_exceeded("it takes too long to answer")));
        match sent {
            Ok(answer) => {
                let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
                let rejected = u64::try_from(rejected).unwrap_or_default().min(many);
                self.counts.rejected.fetch_add(rejected, Ordering::Relaxed);
                self.counts.sent.fetch_add(many - rejected, Ordering::Relaxed);
                if self.told.take().is_some() {
                    tracing::info!("spans are sent to the collector again");
                }
            }
            Err(status) => {
                self.counts.not_sent.fetch_add(many, Ordering::Relaxed);
                if self.told.is_none_or(|told| told.elapsed() >= TELL) {
                    self.told = Some(Instant::now());
                    let (code, cause) = (status.code(), cause(&status));
                    tracing::warn!(?code, cause, "spans cannot be sent to the collector, and are dropped");
                }
            }
        }
    }
}

/// Sends spans and waits for the answer.
async fn export(
    collector: &mut Grpc<Channel>,
    request: ExportTraceServiceRequest,
) -> Result<ExportTraceServiceResponse, Status> {
    collector.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path = PathAndQuery::from_static(EXPORT);
    let answer = collector.unary(Request::new(request), path, ProstCodec::default()).await?;
    Ok(answer.into_inner())
}

/// The innermost cause of an error, or its own text. Nothing of a request is in it.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<Status>() {
        // The text of the collector, of which the log needs the beginning.
        Some(status) => status.message().chars().take(200).collect(),
        None => innermost.to_string(),
    }
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::super::{ROOM, Traces};
    use super::*;
    use crate::domain::new_id;

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_never_answers_costs_a_bounded_time_and_bounded_room() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let otlp = Otlp { endpoint, tls: false, loopback: true, sample_ratio: 1.0 };
        let (traces, exporting) = Traces::start(&otlp).unwrap();
        let request = || traces.begin(&HeaderMap::new(), new_id(), None).unwrap().end(0, None);
        request();
        while traces.read().not_sent == 0 {
            sleep(Duration::from_secs(1)).await;
        }
        for _ in 0..2 * ROOM {
            request();
        }
        assert_eq!(traces.read().queue_full, count(ROOM));
        let stopped = Instant::now();
        exporting.finish().await;
        assert!(stopped.elapsed() < FINISH + Duration::from_millis(100), "{:?}", stopped.elapsed());
    }
}

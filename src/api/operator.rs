//! OperatorService.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::call::Call;
use super::convert::timestamp;
use super::status::{complete, status};
use super::v1;
use super::v1::operator_service_server::OperatorService;
use crate::app::{App, Chunk, Error, Progress, RestoreOptions, Restored};
use crate::auth::{Operate, ServiceGrant};

/// OperatorService over the app.
pub(super) struct Operator(pub(super) Arc<App>);

#[tonic::async_trait]
impl OperatorService for Operator {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let (call, v1::GetStatusRequest {}) = Call::open(&self.0, request)?;
        call.close(describe(&self.0, &call))
    }

    type CreateBackupStream = Replies<v1::CreateBackupResponse>;

    async fn create_backup(
        &self,
        request: Request<v1::CreateBackupRequest>,
    ) -> Result<Response<Self::CreateBackupStream>, Status> {
        let (call, v1::CreateBackupRequest {}) = Call::open(&self.0, request)?;
        let granted = call.service_grant::<Operate>();
        call.close(granted.map(|grant| create_backup(call.clone(), self.0.backup(&grant))))
    }

    type RestoreBackupStream = Replies<v1::RestoreBackupResponse>;

    async fn restore_backup(
        &self,
        request: Request<Streaming<v1::RestoreBackupRequest>>,
    ) -> Result<Response<Self::RestoreBackupStream>, Status> {
        let (call, chunks) = Call::open(&self.0, request)?;
        let granted = call.service_grant::<Operate>();
        call.close(granted.map(|grant| restore_backup(call.clone(), self.0.clone(), grant, chunks)))
    }
}

/// Replies that a task sends as they come to be.
type Replies<R> = ReceiverStream<Result<R, Status>>;

/// How long an upload may bring nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// How many replies wait for a caller that is slower than the service.
const AHEAD: usize = 4;

fn create_backup(
    call: Call,
    mut chunks: mpsc::Receiver<Result<Chunk, Error>>,
) -> Replies<v1::CreateBackupResponse> {
    call.note(|target| target.subject = Some("begun".to_owned()));
    let (replies, stream) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if !begun(&call, &replies).await {
            return;
        }
        let outcome = loop {
            match chunks.recv().await {
                // Whoever has the last of it has all of it, so that is recorded first.
                Some(Ok(chunk)) if chunk.ended_at.is_some() => {
                    let whole = format!("whole, {} records", chunk.records);
                    let recorded = call.conclude(Ok(whole)).await;
                    let _ = replies.send(recorded.map(|()| backup_reply(chunk))).await;
                    return;
                }
                Some(Ok(chunk)) => {
                    if replies.send(Ok(backup_reply(chunk))).await.is_err() {
                        break Ok("left by the caller before its end".to_owned());
                    }
                }
                Some(Err(error)) => break Err(error),
                None => break Err(Error::Internal("a backup ended without its end")),
            }
        };
        if let Err(failed) = call.conclude(outcome).await {
            let _ = replies.send(Err(failed)).await;
        }
    });
    ReceiverStream::new(stream)
}

/// Waits until the call's beginning is recorded; it is not begun where nobody waits for its answer any more.
async fn begun<R>(call: &Call, replies: &mpsc::Sender<Result<R, Status>>) -> bool {
    tokio::select! {
        () = call.begun() => true,
        () = replies.closed() => false,
    }
}

fn backup_reply(Chunk { bytes, records, expected, ended_at }: Chunk) -> v1::CreateBackupResponse {
    let revision = ended_at.unwrap_or_default().0;
    v1::CreateBackupResponse { chunk: bytes, records, expected_records: expected, revision }
}

fn restore_backup(
    call: Call,
    app: Arc<App>,
    grant: ServiceGrant<Operate>,
    mut chunks: Streaming<v1::RestoreBackupRequest>,
) -> Replies<v1::RestoreBackupResponse> {
    call.note(|target| target.subject = Some("begun".to_owned()));
    let (replies, stream) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if !begun(&call, &replies).await {
            return;
        }
        let (outcome, reply) = match take_in(&call, &app, &grant, &mut chunks, &replies).await {
            Ok(restored) => (Ok(came_to(&restored)), Ok(done(&restored))),
            Err(Stopped::Failed(error)) => {
                let failed = status(&error, &call.request_id);
                (Err(error), Err(failed))
            }
            Err(Stopped::ByTheCaller(why)) => {
                let left = "not received to its end, nothing was replaced".to_owned();
                (Ok(left), Err(complete(&why, &call.request_id)))
            }
        };
        let _ = replies.send(call.conclude(outcome).await.and(reply)).await;
    });
    ReceiverStream::new(stream)
}

/// Why a restore came to nothing.
enum Stopped {
    Failed(Error),
    ByTheCaller(Status),
}

async fn take_in(
    call: &Call,
    app: &Arc<App>,
    grant: &ServiceGrant<Operate>,
    chunks: &mut Streaming<v1::RestoreBackupRequest>,
    replies: &mpsc::Sender<Result<v1::RestoreBackupResponse, Status>>,
) -> Result<Restored, Stopped> {
    let restore = app.restore(grant).map_err(Stopped::Failed)?;
    let mut options = None;
    loop {
        // Only the caller's end of the stream is the end of the backup; where the connection breaks, nothing is replaced.
        let silent = |_| Stopped::ByTheCaller(Status::deadline_exceeded(""));
        let message = tokio::time::timeout(SILENCE, chunks.message()).await.map_err(silent)?;
        let message = message.map_err(Stopped::ByTheCaller)?;
        let Some(v1::RestoreBackupRequest { chunk, verify_only, accept_damaged }) = message else { break };
        options.get_or_insert(RestoreOptions { verify_only, accept_damaged });
        if !restore.take(chunk).await {
            break;
        }
    }
    let replies = replies.clone();
    let tell = move |progress| {
        let (phase, records, total_records) = match progress {
            Progress::Verifying(records, of) => (v1::RestorePhase::Verifying, records, of),
            Progress::Replacing(records, of) => (v1::RestorePhase::Replacing, records, of),
        };
        let reply =
            v1::RestoreBackupResponse { phase: phase.into(), records, total_records, ..Default::default() };
        // Whoever is slow to read misses some.
        let _ = replies.try_send(Ok(reply));
    };
    // An upload takes its time, in which the caller's key may have been revoked or have expired.
    app.confirm(&call.principal).map_err(|problem| Stopped::Failed(Error::Unauthenticated(problem)))?;
    restore.finish(options.unwrap_or_default(), tell).await.map_err(Stopped::Failed)
}

fn came_to(restored: &Restored) -> String {
    match restored.now {
        Some((_, revision)) => {
            format!("replaced by the state of revision {}, at revision {revision}", restored.of)
        }
        None => "only looked at".to_owned(),
    }
}

fn done(restored: &Restored) -> v1::RestoreBackupResponse {
    let Restored { created_at, of, damaged, now } = *restored;
    let (counts, revision) = now.unwrap_or_default();
    v1::RestoreBackupResponse {
        phase: v1::RestorePhase::Done.into(),
        created_at: Some(timestamp(created_at)),
        backup_revision: of.0,
        damaged_records: damaged,
        revision: revision.0,
        namespaces: count(counts.namespaces),
        secrets: count(counts.secrets),
        ..Default::default()
    }
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

fn describe(app: &App, call: &Call) -> Result<v1::GetStatusResponse, Error> {
    let grant = call.service_grant()?;
    let status = app.status(&grant);
    Ok(v1::GetStatusResponse {
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        store: status.engine.to_owned(),
        revision: status.revision.0,
        started_at: Some(timestamp(status.started_at)),
        namespaces: count(status.counts.namespaces),
        secrets: count(status.counts.secrets),
        damaged_records: count(status.counts.damaged),
        signing_public_key: status.public_key.0.to_vec(),
    })
}

//! CreateBackup and RestoreBackup, which answer with streams. The beginning and the end of each are recorded.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::count;
use super::replies::{AHEAD, ConfirmedReplies, Replies, begun, spawn_of_call};
use crate::api::request::Call;
use crate::api::strongroom_v1::convert::timestamp;
use crate::api::strongroom_v1::proto as v1;
use crate::api::strongroom_v1::status::completed;
use crate::app::{App, BackupChunk, Error, RestoreOptions, RestoreProgress, Restored};
use crate::auth::{Operate, ServiceGrant};

/// The longest silence of an upload.
const SILENCE: Duration = Duration::from_secs(30);

pub(super) fn create_backup(
    call: Call,
    app: Arc<App>,
    chunks: mpsc::Receiver<Result<BackupChunk, Error>>,
) -> ConfirmedReplies<v1::CreateBackupResponse> {
    call.note(|target| target.subject = Some("begun".to_owned()));
    let (replies, stream) = mpsc::channel(AHEAD);
    let confirmed = ConfirmedReplies::new(app.clone(), call.clone(), stream);
    spawn_of_call(async move {
        if !begun(&app, &call, &replies).await {
            return;
        }
        let unfinished = tokio::select! {
            biased;
            ended = app.access.ended(&call.caller) => Err(ended),
            handed_over = hand_over(&call, chunks, &replies) => match handed_over {
                Ok(HandedOver::Whole) => return,
                // The stream ends by itself with the caller's key, perhaps before this task has noticed.
                Ok(HandedOver::Left) => match app.access.confirm(&call.caller) {
                    Ok(()) => Ok("left by the caller before its end".to_owned()),
                    Err(ended) => Err(ended),
                },
                Err(error) => Err(error),
            },
        };
        if let Err(failed) = call.close_stream(unfinished).await {
            let _ = replies.send(Err(failed)).await;
        }
    });
    confirmed
}

/// How a caller received a backup.
enum HandedOver {
    /// To its end, which is recorded.
    Whole,
    /// Not to its end: the caller has left.
    Left,
}

async fn hand_over(
    call: &Call,
    mut chunks: mpsc::Receiver<Result<BackupChunk, Error>>,
    replies: &mpsc::Sender<Result<v1::CreateBackupResponse, Status>>,
) -> Result<HandedOver, Error> {
    while let Some(chunk) = chunks.recv().await {
        let chunk = chunk?;
        if chunk.ended_at.is_some() {
            // A caller who has the last chunk has the whole backup, so the end is recorded first.
            let whole = format!("whole, {} records", chunk.records);
            let recorded = call.close_stream(Ok(whole)).await;
            let _ = replies.send(recorded.map(|()| backup_reply(chunk))).await;
            return Ok(HandedOver::Whole);
        }
        if replies.send(Ok(backup_reply(chunk))).await.is_err() {
            return Ok(HandedOver::Left);
        }
    }
    Err(Error::Internal("a backup ended without its end"))
}

fn backup_reply(BackupChunk { bytes, records, expected, ended_at }: BackupChunk) -> v1::CreateBackupResponse {
    let revision = ended_at.unwrap_or_default().0;
    v1::CreateBackupResponse { chunk: bytes, records, expected_records: expected, revision }
}

pub(super) fn restore_backup(
    call: Call,
    app: Arc<App>,
    grant: ServiceGrant<Operate>,
    mut chunks: Streaming<v1::RestoreBackupRequest>,
) -> Replies<v1::RestoreBackupResponse> {
    call.note(|target| target.subject = Some("begun".to_owned()));
    let (replies, stream) = mpsc::channel(AHEAD);
    spawn_of_call(async move {
        if !begun(&app, &call, &replies).await {
            return;
        }
        let (outcome, reply) = match take_in(&call, &app, &grant, &mut chunks, &replies).await {
            Ok(restored) => (Ok(result(&restored)), Ok(done(&restored))),
            // The reply to a failure is the error itself.
            Err(Stopped::Failed(error)) => (Err(error), Ok(v1::RestoreBackupResponse::default())),
            Err(Stopped::ByTheCaller(why)) => {
                let left = "not received to its end, nothing was replaced".to_owned();
                (Ok(left), Err(completed(&why, call.request_id())))
            }
        };
        let _ = replies.send(call.close_stream(outcome).await.and(reply)).await;
    });
    ReceiverStream::new(stream)
}

/// Why a restore ended without a result.
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
    let restore = app.backup.restore(grant).map_err(Stopped::Failed)?;
    let mut options = None;
    let upload = async {
        loop {
            // The backup ends only where the caller ends the stream. Where the connection breaks, nothing is replaced.
            let silent = |_| Stopped::ByTheCaller(Status::deadline_exceeded(""));
            let message = tokio::time::timeout(SILENCE, chunks.message()).await.map_err(silent)?;
            let message = message.map_err(Stopped::ByTheCaller)?;
            let Some(message) = message else { return Ok(()) };
            let v1::RestoreBackupRequest { chunk, verify_only, accept_damaged, accept_altered } = message;
            options.get_or_insert(RestoreOptions { verify_only, accept_damaged, accept_altered });
            if !restore.take(chunk).await {
                return Ok(());
            }
        }
    };
    tokio::select! {
        uploaded = upload => uploaded?,
        ended = app.access.ended(&call.caller) => return Err(Stopped::Failed(ended)),
    }
    let replies = replies.clone();
    let tell = move |progress| {
        let (phase, records, total_records) = match progress {
            RestoreProgress::Verifying(records, of) => (v1::RestorePhase::Verifying, records, of),
            RestoreProgress::Replacing(records, of) => (v1::RestorePhase::Replacing, records, of),
        };
        let reply =
            v1::RestoreBackupResponse { phase: phase.into(), records, total_records, ..Default::default() };
        // A caller who is slow to read misses some.
        let _ = replies.try_send(Ok(reply));
    };
    restore.finish(options.unwrap_or_default(), tell).await.map_err(Stopped::Failed)
}

/// The result in words, for the audit.
fn result(restored: &Restored) -> String {
    match restored.now {
        Some((_, revision)) => {
            format!("replaced by the state of revision {}, at revision {revision}", restored.of)
        }
        None => "only verified".to_owned(),
    }
}

/// The last reply.
fn done(restored: &Restored) -> v1::RestoreBackupResponse {
    let Restored { created_at, of, damaged, altered, now } = *restored;
    let (counts, revision) = now.unwrap_or_default();
    v1::RestoreBackupResponse {
        phase: v1::RestorePhase::Done.into(),
        created_at: Some(timestamp(created_at)),
        backup_revision: of.0,
        damaged_records: damaged,
        revision: revision.0,
        namespaces: count(counts.namespaces),
        secrets: count(counts.secrets),
        altered,
        ..Default::default()
    }
}

//! The replies of a task that works for a caller, in a stream.
//!
//! A stream can last long. While it does, the caller's key can be revoked or expire: then the stream ends, although the work goes
//! on where it must not be left half done.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;

use crate::api::request::Call;
use crate::api::strongroom_v1::status::status;
use crate::app::{App, Error};

/// The number of replies that wait for a caller that is slower than the service.
pub(super) const AHEAD: usize = 4;

/// The replies of a task that looks after the caller's key by itself.
pub(super) type Replies<R> = ReceiverStream<Result<R, Status>>;

/// The replies of a task. The stream ends with the caller's key, whatever the task does.
pub(in crate::api) struct ConfirmedReplies<R> {
    replies: Replies<R>,
    /// Gives the error when the caller's key is not in force any more; `None` after that.
    ended: Option<Pin<Box<dyn Future<Output = Error> + Send>>>,
    call: Call,
}

impl<R> ConfirmedReplies<R> {
    /// The replies that the task sends for this call.
    pub(in crate::api) fn new(app: Arc<App>, call: Call, replies: mpsc::Receiver<Result<R, Status>>) -> Self {
        let caller = call.caller.clone();
        let ended = Box::pin(async move { app.access.ended(&caller).await });
        Self { replies: ReceiverStream::new(replies), ended: Some(ended), call }
    }
}

impl<R> Stream for ConfirmedReplies<R> {
    type Item = Result<R, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(ended) = &mut self.ended else { return Poll::Ready(None) };
        match ended.as_mut().poll(context) {
            Poll::Pending => Pin::new(&mut self.replies).poll_next(context),
            Poll::Ready(error) => {
                self.ended = None;
                self.replies.close();
                Poll::Ready(Some(Err(status(&error, self.call.request_id()))))
            }
        }
    }
}

/// Starts the task of a call that answers with a stream. Its lines in the log have the id of the request.
pub(in crate::api) fn spawn_of_call(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work.in_current_span());
}

/// Waits until the beginning of the call is recorded, and confirms the caller. False: the work must not begin, since the caller
/// has gone, or its key is not in force any more.
pub(in crate::api) async fn begun<R>(
    app: &App,
    call: &Call,
    replies: &mpsc::Sender<Result<R, Status>>,
) -> bool {
    tokio::select! {
        // What is recorded as begun begins, and has a record of its end.
        biased;
        () = call.begun() => {}
        () = replies.closed() => return false,
    }
    let Err(ended) = app.access.confirm(&call.caller) else { return true };
    if let Err(refused) = call.close_stream(Err(ended)).await {
        let _ = replies.send(Err(refused)).await;
    }
    false
}

/// Does work that goes on to its end although the caller's key ends before. That is recorded then, as the end of the stream.
pub(super) async fn to_its_end<T>(app: &App, call: &Call, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        ended = app.access.ended(&call.caller) => drop(call.close_stream(Err(ended)).await),
    }
    work.await
}

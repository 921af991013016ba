//! The body of an answer, in pieces, and the tasks that send the pieces. A peer that does not take the next piece in time loses
//! the answer: its stream is reset, and the memory of the answer is free. So does a peer whose key is revoked or expires before it
//! has taken the next piece.
//!
//! The HTTP/2 library asks a body for a piece and then waits until the peer's window has room for it. While it waits, it does
//! not ask the body again, so a timer in the body would not run. What ends an answer is in the task around the library's own future
//! ([`Sending`]). The body tells the task, of which each poll is one call on one thread, how its last poll ended.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use hyper::body::Bytes;
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;

use super::resets::Unanswered;
use super::windows::Windows;
use crate::api::Recipient;

/// The most bytes that a body gives out at once: one frame of HTTP/2.
const PIECE: usize = 16 * 1024;
/// The most bytes of a last piece that can go out whole. The library takes a piece as soon as there is room for its first byte, and then
/// nobody waits for the room for the rest. So the last byte of an answer goes out alone, unless there is room for a small piece at once.
const SMALL: usize = 1024;

/// How the last poll of a body ended.
enum Step {
    /// With a piece, for which the library now waits for room. With the caller, where there is one.
    Piece(Option<Recipient>),
    /// With no piece, since there is none yet, or no more.
    NoPiece,
}

thread_local! {
    /// How the last poll of a body ended, within the poll of its task.
    static STEP: Cell<Option<Step>> = const { Cell::new(None) };
}

/// The body of an answer.
pub(super) struct Reply {
    body: Body,
    /// The bytes that the body gave and that are not given out yet.
    rest: Bytes,
    /// Whether pieces are copies, so that none of them keeps all of `rest` in memory.
    copied: bool,
    windows: Arc<Windows>,
    /// How many bytes were given out.
    given: usize,
    request: Unanswered,
    recipient: Option<Recipient>,
}

impl Reply {
    /// The same body, in pieces, for this caller, on a connection with these windows.
    pub(super) fn new(
        body: Body,
        windows: Arc<Windows>,
        request: Unanswered,
        recipient: Option<Recipient>,
    ) -> Self {
        let rest = Bytes::new();
        let mut reply = Self { body, rest, copied: false, windows, given: 0, request, recipient };
        // Such a body is not polled.
        if http_body::Body::is_end_stream(&reply) {
            reply.end();
        }
        reply
    }

    /// Frees what the body holds, before its end can reach the caller.
    fn end(&mut self) {
        self.request.answered();
        self.body = Body::empty();
    }

    /// The next piece of `rest`.
    fn piece(&mut self) -> Bytes {
        let mut length = self.rest.len().min(PIECE);
        let is_last = length == self.rest.len();
        let has_room = self.windows.give(self.given, length);
        if is_last && length > 1 && !(has_room && length <= SMALL) {
            length -= 1;
            self.windows.take_back(1);
        }
        let piece = self.rest.split_to(length);
        self.given = self.given.saturating_add(length);
        if self.copied { Bytes::copy_from_slice(&piece) } else { piece }
    }
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            STEP.set(Some(Step::NoPiece));
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        this.copied = data.len() > PIECE;
                        this.rest = data;
                    }
                    Err(trailers) => {
                        this.end();
                        return Poll::Ready(Some(Ok(trailers)));
                    }
                },
                Poll::Ready(end) => {
                    this.end();
                    return Poll::Ready(end);
                }
            }
        }
        let piece = this.piece();
        STEP.set(Some(Step::Piece(this.recipient.clone())));
        if http_body::Body::is_end_stream(this) {
            this.end();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}

/// Runs the tasks of a connection's streams. An answer whose next piece is not taken within this time ends, and so does one
/// whose next piece is not taken before its caller's key ends.
#[derive(Clone, Copy)]
pub(super) struct Tasks(pub(super) Duration);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, stream: F) {
        tokio::spawn(Sending { stream, time: self.0, timer: None, ended: None });
    }
}

pin_project! {
    /// The task of a stream. The library resets the stream when it is dropped.
    struct Sending<F> {
        #[pin]
        stream: F,
        time: Duration,
        // Runs while the peer has to take a piece.
        timer: Option<Pin<Box<Sleep>>>,
        // The end of the caller's key, which matters while the peer has to take a piece.
        ended: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    }
}

impl<F: Future<Output = ()>> Future for Sending<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        STEP.set(None);
        if this.stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        match STEP.take() {
            Some(Step::Piece(recipient)) => {
                if this.ended.is_none() {
                    *this.ended = recipient.map(Recipient::ended);
                }
                let end = Instant::now() + *this.time;
                match this.timer {
                    Some(timer) => timer.as_mut().reset(end),
                    None => *this.timer = Some(Box::pin(sleep_until(end))),
                }
            }
            Some(Step::NoPiece) => (*this.timer, *this.ended) = (None, None),
            // The body was not polled: the peer has still to take its piece, if it had one.
            None => {}
        }
        let late = this.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready());
        if late {
            tracing::debug!("a reply ends, since its peer does not take it");
            return Poll::Ready(());
        }
        let ended = this.ended.as_mut().is_some_and(|ended| ended.as_mut().poll(context).is_ready());
        if ended {
            tracing::debug!("a reply ends, since its caller's key is not in force any more");
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

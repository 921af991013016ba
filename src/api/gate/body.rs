//! The body of a request, of which an early end is always an error.
//!
//! tonic takes the reset of a stream with the code CANCEL for the orderly end of its messages, and hyper does so with the code
//! NO_ERROR. A caller that gives up a restore after the last byte of its backup would then have its backup restored.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// A body whose errors all have the code ABORTED, which tonic hands on.
struct WholeBody(Body);

/// The same body, whose early end is an error with the code ABORTED.
pub(super) fn whole(body: Body) -> Body {
    Body::new(WholeBody(body))
}

impl http_body::Body for WholeBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        const EARLY: &str = "the request ended early";
        let frame = ready!(Pin::new(&mut self.0).poll_frame(context));
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            None if self.0.is_end_stream() => None,
            // An error with details is ours: it says why the server takes no more.
            Some(Err(error)) if !error.details().is_empty() => Some(Err(error)),
            Some(Err(_)) | None => Some(Err(Status::aborted(EARLY))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

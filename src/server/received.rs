//! The body of a request. What the gate and the handlers leave of it is read for a moment and thrown away.
//!
//! A request is often refused before its body has come. If its stream were reset then, the rest of the body would come to a
//! stream that is gone. The HTTP/2 library counts that as an abuse, and in the end closes the whole connection of a client that
//! did nothing wrong (h2 0.4.20: data of a stream that was reset is never given back to the budget of small frames).

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long the rest of a body is read.
const TIME: Duration = Duration::from_secs(1);
/// How much of it is read, in bytes.
const MOST: usize = 64 * 1024;

/// The body of a request.
pub(super) struct Received(Option<Incoming>);

impl Received {
    /// The body as the library gives it.
    pub(super) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, http_body::Body::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !http_body::Body::is_end_stream(body)) else { return };
        let mut rest = Rest { body, taken: 0 };
        // Mostly the rest has come already.
        if Pin::new(&mut rest).poll(&mut Context::from_waker(Waker::noop())).is_pending()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(timeout(TIME, rest));
        }
    }
}

/// Ends when the body has ended or too much of it was taken.
struct Rest {
    body: Incoming,
    taken: usize,
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        use http_body::Body;
        while self.taken <= MOST {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.taken += frame.data_ref().map_or(0, Bytes::len);
                    if self.body.is_end_stream() {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(None | Some(Err(_))) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

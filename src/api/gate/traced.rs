//! The end of a request's span: the end of its answer. An answer that is an error, or that has no messages, ends it at once. Any other
//! answer ends it with its trailers, which tell the code.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use http_body::{Frame, SizeHint};
use tonic::body::Body;

use super::metrics::code_of;
use crate::api::error::Reason;
use crate::api::strongroom_v1::status::failure;
use crate::telemetry::traces::RequestSpan;

/// The body of an answer, whose end is the end of the span. The span ends by itself if the caller does not take all of the answer.
struct TracedBody {
    body: Body,
    /// The span, until it has ended.
    span: Option<Box<RequestSpan>>,
}

/// The same answer, which ends the span.
pub(super) fn traced(span: Box<RequestSpan>, answer: Response<Body>) -> Response<Body> {
    if let Some(code) = code_of(answer.headers()) {
        let reason = failure(&answer).and_then(|(_, reason)| reason);
        span.end(code, reason.map(Reason::name));
        return answer;
    }
    answer.map(|body| Body::new(TracedBody { body, span: Some(span) }))
}

impl http_body::Body for TracedBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && let (Some(code), Some(span)) = (code_of(trailers), self.span.take())
        {
            span.end(code, None);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! Lets in the requests that the limits have room for, and counts the bytes of each request and its reply.
//!
//! A request counts until its work has ended and its reply has been taken, though its caller hangs up before.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::{Admitted, Answer};
use crate::api::MAX_MESSAGE;
use crate::api::error::Refusal;
use crate::api::request::AuditEntry;
use crate::api::strongroom_v1::status::{refused, response};
use crate::app::App;
use crate::auth::Right;
use crate::limits::{Allowance, LimitReached};

/// The size of a reply, in bytes, up to which it is not refused: the change that it answers was made.
const SMALL: usize = 64 * 1024;

/// Lets requests in.
#[derive(Clone)]
pub(super) struct Admit<S> {
    app: Arc<App>,
    inner: S,
}

impl<S> Admit<S> {
    pub(super) fn new(app: Arc<App>, inner: S) -> Self {
        Self { app, inner }
    }
}

impl<S> Service<Admitted> for Admit<S>
where
    S: Service<Admitted, Response = Response<Body>, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Allowed<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut admitted: Admitted) -> Self::Future {
        let entry = admitted.call.entry.clone();
        let operates = |right: &Right| matches!(right, Right::ManageAccess | Right::Operate);
        let operates = admitted.call.rpc.rights.iter().any(operates);
        match self.app.admission.admit(admitted.call.principal().name(), operates) {
            Ok(allowance) => {
                let (counted, of) = (allowance.clone(), entry.clone());
                admitted.http = admitted.http.map(|body| {
                    Body::new(CountedRequest { body, allowance: counted, counted: 0, entry: of })
                });
                Allowed::In { answer: self.inner.call(admitted), allowance, entry }
            }
            Err(limit) => Allowed::Refused(Some(response(Refusal::limit(&limit), &entry.request_id))),
        }
    }
}

/// The answer to a request, if it was let in.
pub(super) enum Allowed<F> {
    /// The refusal, until it is taken.
    Refused(Option<Response<Body>>),
    In {
        answer: F,
        allowance: Arc<Allowance>,
        entry: Arc<AuditEntry>,
    },
}

impl<F: Future<Output = Answer> + Unpin> Future for Allowed<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match &mut *self {
            Self::Refused(refusal) => {
                refusal.take().map_or(Poll::Pending, |refusal| Poll::Ready(Ok(refusal)))
            }
            Self::In { answer, allowance, entry } => {
                let (parts, body) = ready!(Pin::new(answer).poll(context))?.into_parts();
                Poll::Ready(Ok(match CountedReply::begin(body, allowance.clone(), context) {
                    Ok(reply) => Response::from_parts(parts, Body::new(reply)),
                    Err(limit) => response(Refusal::limit(&limit), &entry.request_id),
                }))
            }
        }
    }
}

/// The body of a request, whose bytes are reserved as they arrive.
struct CountedRequest {
    body: Body,
    allowance: Arc<Allowance>,
    /// The bytes that were reserved. They stay so, since the message is made of them.
    counted: usize,
    entry: Arc<AuditEntry>,
}

impl http_body::Body for CountedRequest {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            // Of a stream of messages, one is in memory at a time.
            let more = data.len().min(MAX_MESSAGE.saturating_sub(self.counted));
            let weight = self.entry.rpc.map_or(1, |rpc| rpc.weight);
            if let Err(limit) = self.allowance.reserve(more.saturating_mul(weight)) {
                return Poll::Ready(Some(Err(refused(Refusal::limit(&limit), &self.entry.request_id))));
            }
            self.counted += more;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// The body of a reply. The bytes of a message count until the transport asks for more.
struct CountedReply {
    body: Body,
    allowance: Arc<Allowance>,
    /// What the body gave first, until the transport asks for it.
    first: Option<Next>,
    /// The bytes that count.
    counted: usize,
}

/// What a body gives when it is asked for more.
type Next = Option<Result<Frame<Bytes>, Status>>;

impl CountedReply {
    /// Begins with what the body gives first. The message of a unary RPC is encoded here, and refused if there is no room.
    fn begin(body: Body, allowance: Arc<Allowance>, context: &mut Context<'_>) -> Result<Self, LimitReached> {
        let mut reply = Self { body, allowance, first: None, counted: 0 };
        if reply.body.is_end_stream() {
            return Ok(reply);
        }
        if let Poll::Ready(first) = Pin::new(&mut reply.body).poll_frame(context) {
            reply.counted = length(&first);
            if reply.counted <= SMALL {
                reply.allowance.charge(reply.counted);
            } else {
                reply.allowance.reserve(reply.counted)?;
            }
            reply.first = Some(first);
        }
        Ok(reply)
    }
}

impl http_body::Body for CountedReply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Next> {
        let this = &mut *self;
        if let Some(first) = this.first.take() {
            return Poll::Ready(first);
        }
        this.allowance.release(std::mem::take(&mut this.counted));
        let next = ready!(Pin::new(&mut this.body).poll_frame(context));
        this.counted = length(&next);
        this.allowance.charge(this.counted);
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }
}

fn length(next: &Next) -> usize {
    match next {
        Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
        Some(Err(_)) | None => 0,
    }
}

//! Keeps replies out of the HTTP/2 library, which copies the beginning of all that it sends into a buffer that lives as
//! long as the connection. It is given as many bytes that mean nothing; the connection puts the reply in their place as
//! they leave.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// What a request knows of the connection that it came by.
#[derive(Clone)]
pub struct Peer {
    /// Who is at the other end.
    pub address: Option<SocketAddr>,
    /// Where replies wait for the connection.
    pub cloakroom: Cloakroom,
}

/// The replies that wait for one connection. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub struct Cloakroom(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    last: u32,
    waiting: HashMap<u32, Bytes>,
    /// Those whose stand-ins are gone: what was to be sent of them was, or never will be.
    given_up: Vec<u32>,
}

impl Cloakroom {
    /// The first byte of what stands for a reply. A reply itself begins with 0 or 1: whether its message is compressed.
    pub const MARK: u8 = 0xff;
    /// How many bytes say which reply is meant: the mark and a ticket. No reply is shorter.
    pub const HEAD: usize = 5;

    /// The reply that a ticket stands for; it is no longer kept then.
    pub fn collect(&self, ticket: u32) -> Option<Bytes> {
        self.kept().waiting.remove(&ticket)
    }

    /// Drops the replies that nothing stands for any more. To be called when all that was given to the connection has
    /// left: a stand-in can be copied, and be gone, before its copy leaves.
    pub fn sweep(&self) {
        let mut kept = self.kept();
        let Kept { waiting, given_up, .. } = &mut *kept;
        for ticket in given_up.drain(..) {
            waiting.remove(&ticket);
        }
    }

    /// Keeps bytes, and gives as many that stand for them; those that are too few, as they are.
    pub(crate) fn deposit(&self, bytes: Bytes) -> Bytes {
        if bytes.len() < Self::HEAD {
            return bytes;
        }
        let mut kept = self.kept();
        kept.last = kept.last.wrapping_add(1);
        let ticket = kept.last;
        let mut shown = vec![0; bytes.len()];
        let head = [Self::MARK].into_iter().chain(ticket.to_be_bytes());
        shown.iter_mut().zip(head).for_each(|(to, from)| *to = from);
        kept.waiting.insert(ticket, bytes);
        Bytes::from_owner(StandIn { shown, ticket, cloakroom: self.clone() })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct StandIn {
    shown: Vec<u8>,
    ticket: u32,
    cloakroom: Cloakroom,
}

impl AsRef<[u8]> for StandIn {
    fn as_ref(&self) -> &[u8] {
        &self.shown
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let mut kept = self.cloakroom.kept();
        if kept.waiting.contains_key(&self.ticket) {
            kept.given_up.push(self.ticket);
        }
    }
}

/// A reply whose first bytes, which are all of it unless it is a stream, are kept in a cloakroom.
pub(super) struct Cloaked {
    body: Body,
    cloakroom: Option<Cloakroom>,
}

impl Cloaked {
    pub(super) fn new(body: Body, cloakroom: Cloakroom) -> Self {
        Self { body, cloakroom: Some(cloakroom) }
    }
}

impl http_body::Body for Cloaked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|data| match self.cloakroom.take() {
                    Some(cloakroom) => cloakroom.deposit(data),
                    None => data,
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(shown: &Bytes) -> u32 {
        assert_eq!(shown[0], Cloakroom::MARK);
        u32::from_be_bytes(shown[1..5].try_into().unwrap())
    }

    #[test]
    fn gives_each_reply_back_once() {
        let cloakroom = Cloakroom::default();
        let shown = ["\0reply one", "\0reply two"].map(|reply| cloakroom.deposit(reply.into()));
        let replies = shown.each_ref().map(|shown| cloakroom.collect(ticket(shown)).unwrap());
        assert_eq!(replies, ["\0reply one", "\0reply two"].map(Bytes::from));
        assert_eq!(shown[0].len(), replies[0].len());
        assert_eq!(cloakroom.collect(ticket(&shown[0])), None);
    }

    #[test]
    fn keeps_a_reply_whose_stand_in_is_gone_until_all_has_left() {
        let cloakroom = Cloakroom::default();
        let [copied, abandoned] = ["\0copied", "\0abandoned"].map(|reply| {
            let shown = cloakroom.deposit(reply.into());
            ticket(&shown)
        });
        assert_eq!(cloakroom.collect(copied), Some("\0copied".into()));
        cloakroom.sweep();
        assert_eq!(cloakroom.collect(abandoned), None);
    }

    #[test]
    fn what_is_too_short_for_a_ticket_is_shown_as_it_is() {
        assert_eq!(Cloakroom::default().deposit("four".into()), Bytes::from("four"));
    }
}

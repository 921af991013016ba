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
    last: u16,
    /// What is left of each reply. A ticket is given again only once nothing stands for its reply any more.
    waiting: HashMap<u16, Bytes>,
    /// Those whose stand-ins are gone: what was to be sent of them was, or never will be.
    given_up: Vec<u16>,
}

/// How many replies may wait. The streams that may be open at once are half as many; the others are those that were
/// given up and not swept yet.
const MOST: usize = 2048;
/// What marks the first byte of a stand-in. A reply itself begins with 0 or 1: whether its message is compressed.
const MARK: u8 = 0x80;
/// Where that byte has the first byte of the reply.
const FLAG: u32 = 6;
/// Where the ticket has what is in that byte; the next byte has the rest.
const HIGH: u32 = 8;
/// The bits of a ticket.
const TICKET: u16 = 0x3fff;

impl Cloakroom {
    /// The first byte of a reply, from the first byte of what stands for it; `None` where that stands for nothing. The
    /// connection can so send the one byte for which a client may have room before the other is there.
    pub fn first_byte(shown: u8) -> Option<u8> {
        (shown & MARK != 0).then_some(shown >> FLAG & 1)
    }

    /// The ticket that the first two bytes of a stand-in have.
    pub fn ticket(shown: [u8; 2]) -> u16 {
        u16::from_be_bytes(shown) & TICKET
    }

    /// The next bytes of a reply, at most so many, and how many are left then. They are no longer kept. `None` where
    /// nothing is known of the reply.
    pub fn take(&self, ticket: u16, most: usize) -> Option<(Bytes, usize)> {
        let mut kept = self.kept();
        let reply = kept.waiting.get_mut(&ticket)?;
        let next = reply.split_to(most.min(reply.len()));
        let left = reply.len();
        if left == 0 {
            *reply = Bytes::new();
        }
        Some((next, left))
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

    /// Keeps bytes, and gives as many that stand for them. `None` where they are no reply, which begins with 0 or 1 and
    /// has more bytes, and where too many wait.
    pub(crate) fn deposit(&self, bytes: Bytes) -> Option<Bytes> {
        let [flag @ (0 | 1), _, ..] = *bytes else { return None };
        let mut kept = self.kept();
        if kept.waiting.len() >= MOST {
            return None;
        }
        let ticket = (1..=TICKET)
            .map(|step| kept.last.wrapping_add(step) & TICKET)
            .find(|ticket| !kept.waiting.contains_key(ticket))?;
        kept.last = ticket;
        let mut shown = vec![0; bytes.len()];
        let head = [MARK | flag << FLAG | (ticket >> HIGH) as u8, ticket as u8];
        shown.iter_mut().zip(head).for_each(|(to, from)| *to = from);
        kept.waiting.insert(ticket, bytes);
        drop(kept);
        Some(Bytes::from_owner(StandIn { shown, ticket, cloakroom: self.clone() }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct StandIn {
    shown: Vec<u8>,
    ticket: u16,
    cloakroom: Cloakroom,
}

impl AsRef<[u8]> for StandIn {
    fn as_ref(&self) -> &[u8] {
        &self.shown
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.cloakroom.kept().given_up.push(self.ticket);
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
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)?) else {
            return Poll::Ready(None);
        };
        let data = match frame.into_data() {
            Ok(data) if data.is_empty() => data,
            Ok(data) => match self.cloakroom.take() {
                Some(cloakroom) => cloakroom.deposit(data).ok_or_else(|| {
                    Status::resource_exhausted("too many replies wait for this connection; read them first")
                })?,
                None => data,
            },
            Err(frame) => return Poll::Ready(Some(Ok(frame))),
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
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

    fn ticket(shown: &Bytes) -> u16 {
        Cloakroom::ticket([shown[0], shown[1]])
    }

    #[test]
    fn gives_each_reply_back_once() {
        let cloakroom = Cloakroom::default();
        let replies = ["\0reply one", "\x01reply two"];
        let shown = replies.map(|reply| cloakroom.deposit(reply.into()).unwrap());
        for (shown, reply) in shown.iter().zip(replies) {
            assert_eq!(shown.len(), reply.len());
            assert_eq!(Cloakroom::first_byte(shown[0]), Some(reply.as_bytes()[0]));
            assert_eq!(cloakroom.take(ticket(shown), 6), Some((reply[..6].into(), 4)));
            assert_eq!(cloakroom.take(ticket(shown), 9), Some((reply[6..].into(), 0)));
            assert_eq!(cloakroom.take(ticket(shown), 9), Some((Bytes::new(), 0)));
        }
        assert_eq!([0, 1].map(Cloakroom::first_byte), [None; 2]);
    }

    #[test]
    fn keeps_a_reply_whose_stand_in_is_gone_until_all_has_left() {
        let cloakroom = Cloakroom::default();
        let shown = ticket(&cloakroom.deposit("\0copied".into()).unwrap());
        assert_eq!(cloakroom.take(shown, 7), Some(("\0copied".into(), 0)));
        let begun = cloakroom.deposit("\0abandoned".into()).unwrap();
        cloakroom.take(ticket(&begun), 4).unwrap();
        cloakroom.sweep();
        assert_eq!(cloakroom.take(shown, 7), None);
        let abandoned = ticket(&begun);
        drop(begun);
        assert_eq!(cloakroom.take(abandoned, 2), Some(("nd".into(), 4)));
        cloakroom.sweep();
        assert_eq!(cloakroom.take(abandoned, 7), None);
    }

    #[test]
    fn no_ticket_stands_for_two_replies() {
        let cloakroom = Cloakroom::default();
        let first = cloakroom.deposit("\0first".into()).unwrap();
        cloakroom.take(ticket(&first), 6).unwrap();
        for _ in 0..=TICKET {
            let next = cloakroom.deposit("\0next".into()).unwrap();
            assert_ne!(ticket(&next), ticket(&first));
            drop(next);
            cloakroom.sweep();
        }
    }

    #[test]
    fn what_is_no_reply_and_what_is_too_much_is_not_kept() {
        let cloakroom = Cloakroom::default();
        assert_eq!(["\0", "\x02reply", ""].map(|bytes| cloakroom.deposit(bytes.into())), [const { None }; 3]);
        let _kept = [(); MOST].map(|()| cloakroom.deposit("\0reply".into()).unwrap());
        assert_eq!(cloakroom.deposit("\0reply".into()), None);
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use zeroize::Zeroize;

use super::frame::{Frames, Head, Kind, Piece};
use crate::api::Cloakroom;

/// How much that was written may be there at once, sent or not.
const MOST_WAITING: usize = 64 * 1024;
/// How many streams a client may reset while it takes nothing of what is sent to it.
const MOST_RESETS: usize = 4096;

/// What the HTTP/2 library sends, with the replies in their places.
pub(super) struct Outgoing {
    frames: Frames,
    replies: BTreeMap<u32, Reply>,
    /// The streams that the client has reset. Nothing more is sent of them once all is written.
    resets: BTreeSet<u32>,
    cloakroom: Cloakroom,
    /// What is to be sent, from `sent` on.
    bytes: Vec<u8>,
    sent: usize,
}

/// How far the reply of a stream is, until it is known that the rest is sent as it is.
#[derive(Clone, Copy)]
enum Reply {
    /// Nothing came of it.
    Begins,
    /// The first byte came of what stands for it.
    Marked(u8),
    /// It is put in, as far as it is left.
    Goes(u16),
}

impl Outgoing {
    pub(super) fn new(cloakroom: Cloakroom) -> Self {
        Self {
            frames: Frames::default(),
            replies: BTreeMap::new(),
            resets: BTreeSet::new(),
            cloakroom,
            bytes: Vec::new(),
            sent: 0,
        }
    }

    /// What is to be sent next.
    pub(super) fn to_send(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// Notes that so many bytes were sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.to_send().is_empty() {
            self.bytes.as_mut_slice().zeroize();
            self.bytes.clear();
            self.sent = 0;
        }
    }

    /// How many bytes may be written now. There is room again when all is sent.
    pub(super) fn room(&self) -> usize {
        MOST_WAITING.saturating_sub(self.bytes.len())
    }

    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        self.bytes.capacity()
    }

    /// The library has dealt with these resets by the client.
    ///
    /// # Errors
    ///
    /// Where there were too many since all was written.
    pub(super) fn reset(&mut self, streams: impl Iterator<Item = u32>) -> io::Result<()> {
        self.resets.extend(streams);
        if self.resets.len() > MOST_RESETS {
            return Err(io::Error::other("the client resets streams, and takes nothing of what is sent"));
        }
        Ok(())
    }

    /// The library has nothing left that it has not written.
    pub(super) fn all_written(&mut self) {
        while let Some(stream) = self.resets.pop_first() {
            if let Some(Reply::Goes(ticket)) = self.replies.remove(&stream) {
                // What stands for it may be dropped only later.
                self.cloakroom.take(ticket, usize::MAX);
            }
        }
        self.cloakroom.sweep();
    }

    /// Takes what the library sends.
    ///
    /// # Errors
    ///
    /// Where something stands for a reply that is not there. Nothing that can be sent would be right.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some(piece) = self.frames.next(&mut bytes) {
            match piece {
                Piece::Head(head) => self.head(head),
                Piece::Payload(head, payload, left) => match head.kind {
                    Kind::Data => self.data(head, payload, left)?,
                    Kind::Headers | Kind::Reset | Kind::Continuation | Kind::Other => {
                        self.bytes.extend_from_slice(payload)
                    }
                },
            }
        }
        Ok(())
    }

    fn head(&mut self, head: Head) {
        let has_data = head.kind == Kind::Data && head.length > 0;
        if head.ends_stream() && !has_data || head.kind == Kind::Reset {
            self.replies.remove(&head.stream);
        } else if head.kind == Kind::Headers {
            self.replies.insert(head.stream, Reply::Begins);
        }
        self.bytes.extend_from_slice(head.as_bytes());
    }

    fn data(&mut self, head: Head, mut payload: &[u8], left: usize) -> io::Result<()> {
        let mut reply = self.replies.remove(&head.stream);
        while let Some(was) = reply
            && let Some(first) = payload.first()
        {
            let put;
            (reply, put) = match was {
                Reply::Begins => match Cloakroom::first_byte(*first) {
                    Some(real) => {
                        self.bytes.push(real);
                        (Some(Reply::Marked(*first)), 1)
                    }
                    None => (None, 0),
                },
                Reply::Marked(mark) => {
                    let ticket = Cloakroom::ticket([mark, *first]);
                    // It was sent already.
                    self.cloakroom.take(ticket, 1);
                    (Some(Reply::Goes(ticket)), 0)
                }
                Reply::Goes(ticket) => {
                    let (bytes, left) = self
                        .cloakroom
                        .take(ticket, payload.len())
                        .ok_or_else(|| io::Error::other("a reply is not there that is to be sent"))?;
                    self.bytes.extend_from_slice(&bytes);
                    ((left > 0).then_some(was), bytes.len())
                }
            };
            payload = payload.get(put..).unwrap_or_default();
        }
        self.bytes.extend_from_slice(payload);
        if let Some(reply) = reply.filter(|_| left > 0 || !head.ends_stream()) {
            self.replies.insert(head.stream, reply);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let head = [0, (payload.len() >> 8) as u8, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        [&head[..], payload].concat()
    }

    const REPLY: &[u8] = b"\0\0\0\0\x0aten bytes.";

    /// A connection, what stands for a reply there, and that connection's cloakroom.
    fn waiting() -> (Outgoing, Bytes, Cloakroom) {
        let cloakroom = Cloakroom::default();
        let shown = cloakroom.deposit(Bytes::from_static(REPLY)).unwrap();
        (Outgoing::new(cloakroom.clone()), shown, cloakroom)
    }

    /// Two streams: the reply of one is put in, whatever frames it is cut into and whatever pieces they come in; the
    /// other's is sent as it is. Nothing is held back.
    #[test]
    fn replies_are_put_in_wherever_they_are_cut() {
        for cut in 0..=REPLY.len() {
            for piece in 1..40 {
                let (mut outgoing, shown, _) = waiting();
                let frames = |first: &[u8]| {
                    [
                        frame(1, 4, 1, b"headers"),
                        frame(1, 4, 3, b"headers"),
                        frame(0, 0, 1, &first[..cut]),
                        frame(0, 0, 3, b"\0\0\0\0\x01x"),
                        frame(6, 0, 0, b"eight by"),
                        frame(0, 0, 1, &[&first[cut..], b"\xff\xffmore"].concat()),
                        frame(0, 0, 3, b"\xff\xffmore"),
                        frame(1, 5, 1, b"trailers"),
                        frame(1, 5, 3, b"trailers"),
                    ]
                    .concat()
                };
                let expected = frames(REPLY);
                let mut written = 0;
                for bytes in frames(&shown).chunks(piece) {
                    outgoing.write(bytes).unwrap();
                    written += bytes.len();
                    let sent = outgoing.to_send();
                    assert_eq!(sent, &expected[..sent.len()], "cut at {cut}, pieces of {piece}");
                    assert!(written - sent.len() < frame(0, 0, 0, b"").len());
                }
                assert_eq!(outgoing.to_send(), expected);
                assert!(outgoing.replies.is_empty());
                outgoing.sent(expected.len());
                assert!(outgoing.bytes.is_empty());
            }
        }
    }

    #[test]
    fn a_reply_ends_with_its_stream() {
        let last = |payload: &[u8]| vec![frame(0, 1, 1, payload)];
        let cut = |end: &[u8]| vec![frame(0, 0, 1, &end[..2]), frame(0, 1, 1, &end[2..])];
        for frames in [last(REPLY), cut(REPLY), last(b""), last(&REPLY[..1]), last(&REPLY[..7])] {
            for piece in 1..30 {
                let (mut outgoing, shown, _) = waiting();
                outgoing.write(&frame(1, 4, 1, b"")).unwrap();
                let (expected, mut at) = (frames.concat(), 0);
                let mut given = expected.clone();
                for frame in &frames {
                    let (to, from) = (at, frame.len() - 9);
                    let before = to - 9 * frames.iter().take_while(|other| *other != frame).count();
                    given[to + 9..to + 9 + from].copy_from_slice(&shown[before..before + from]);
                    at += frame.len();
                }
                given.chunks(piece).for_each(|bytes| outgoing.write(bytes).unwrap());
                assert_eq!(outgoing.to_send()[9..], expected);
                assert!(outgoing.replies.is_empty());
            }
        }
    }

    #[test]
    fn the_reply_of_a_stream_that_the_server_resets_is_dropped() {
        let (mut outgoing, shown, _) = waiting();
        let frames = [frame(1, 4, 1, b""), frame(0, 0, 1, &shown[..8]), frame(3, 0, 1, b"\0\0\0\x08")];
        outgoing.write(&frames.concat()).unwrap();
        assert!(outgoing.replies.is_empty());
    }

    /// However far it is. What the library had begun to write before it learned of the reset is sent rightly.
    #[test]
    fn the_reply_of_a_stream_that_the_client_resets_is_dropped() {
        for sent in 0..REPLY.len() {
            let (mut outgoing, shown, cloakroom) = waiting();
            let ticket = Cloakroom::ticket([shown[0], shown[1]]);
            outgoing.write(&frame(1, 4, 3, b"")).unwrap();
            outgoing.reset([1].into_iter()).unwrap();
            outgoing.write(&[frame(1, 4, 1, b""), frame(0, 0, 1, &shown[..sent])].concat()).unwrap();
            assert!(outgoing.to_send().ends_with(&REPLY[..sent]));
            drop(shown);
            outgoing.all_written();
            assert_eq!(outgoing.replies.keys().collect::<Vec<_>>(), [&3]);
            assert!(outgoing.resets.is_empty());
            assert_eq!(cloakroom.take(ticket, 1), None);
        }
    }

    #[test]
    fn a_client_that_resets_and_reads_nothing_is_given_up() {
        let (mut outgoing, ..) = waiting();
        let most = MOST_RESETS as u32;
        outgoing.reset(0..most).unwrap();
        outgoing.reset(0..most).unwrap();
        outgoing.reset(most..=most).unwrap_err();
    }

    #[test]
    fn nothing_is_sent_for_a_reply_that_is_not_there() {
        let (mut outgoing, shown, cloakroom) = waiting();
        let copy = shown.to_vec();
        drop(shown);
        cloakroom.sweep();
        outgoing.write(&frame(1, 4, 1, b"")).unwrap();
        outgoing.write(&frame(0, 0, 1, &copy)).unwrap_err();
    }
}

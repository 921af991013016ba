use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use zeroize::Zeroize;

use super::frame::{Frames, Head, Kind, Piece};
use crate::api::Cloakroom;

/// More streams than may be open at once: those beyond it are long gone.
const STREAMS: usize = 4096;

/// What the HTTP/2 library sends, with the replies in their places.
pub(super) struct Outgoing {
    frames: Frames,
    replies: BTreeMap<u32, Reply>,
    cloakroom: Cloakroom,
    /// What is to be sent, from `sent` on.
    bytes: Vec<u8>,
    sent: usize,
}

/// How far the reply of a stream is.
enum Reply {
    /// Its first bytes say whether something stands for it: those that came, and the frames that they came in.
    Begins { shown: Vec<u8>, held: Vec<Head> },
    /// What is left of it.
    Goes(Bytes),
}

impl Outgoing {
    pub(super) fn new(cloakroom: Cloakroom) -> Self {
        Self { frames: Frames::default(), replies: BTreeMap::new(), cloakroom, bytes: Vec::new(), sent: 0 }
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

    /// The library has nothing left that it has not written.
    pub(super) fn all_written(&self) {
        self.cloakroom.sweep();
    }

    /// Takes what the library sends.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while let Some(piece) = self.frames.next(&mut bytes) {
            match piece {
                Piece::Head(head) => self.head(head),
                Piece::Payload(head, payload, left) => match head.kind {
                    Kind::Data => self.data(head, payload, left),
                    Kind::Headers | Kind::Reset | Kind::Continuation | Kind::Other => {
                        self.bytes.extend_from_slice(payload)
                    }
                },
            }
        }
    }

    fn head(&mut self, head: Head) {
        if head.ends_stream() && head.kind != Kind::Data || head.kind == Kind::Reset {
            self.replies.remove(&head.stream);
        } else if head.kind == Kind::Headers {
            self.replies.insert(head.stream, Reply::Begins { shown: Vec::new(), held: Vec::new() });
            if self.replies.len() > STREAMS {
                self.replies.pop_first();
            }
        }
        match self.replies.get_mut(&head.stream) {
            // Not before it is known what is in it.
            Some(Reply::Begins { held, .. }) if head.kind == Kind::Data && head.length > 0 => held.push(head),
            Some(Reply::Begins { .. } | Reply::Goes(_)) | None => {
                self.bytes.extend_from_slice(head.as_bytes())
            }
        }
    }

    fn data(&mut self, head: Head, mut payload: &[u8], left: usize) {
        if let Some(Reply::Begins { shown, held }) = self.replies.get_mut(&head.stream) {
            let (first, rest) =
                payload.split_at((Cloakroom::HEAD.saturating_sub(shown.len())).min(payload.len()));
            shown.extend_from_slice(first);
            payload = rest;
            let stands_in = shown.first() == Some(&Cloakroom::MARK);
            if stands_in && shown.len() < Cloakroom::HEAD && !head.ends_stream() {
                return;
            }
            let collected = match **shown {
                [Cloakroom::MARK, a, b, c, d] => self.cloakroom.collect(u32::from_be_bytes([a, b, c, d])),
                _ => None,
            };
            let mut reply = collected.unwrap_or_else(|| Bytes::from(std::mem::take(shown)));
            let held = std::mem::take(held);
            let after = left + payload.len();
            for frame in held.iter().take(held.len().saturating_sub(1)) {
                self.bytes.extend_from_slice(frame.as_bytes());
                self.put(&mut reply, frame.length);
            }
            self.bytes.extend_from_slice(head.as_bytes());
            self.put(&mut reply, head.length.saturating_sub(after));
            self.replies.insert(head.stream, Reply::Goes(reply));
        }
        match self.replies.remove(&head.stream) {
            Some(Reply::Goes(mut reply)) => {
                let (stood_for, plain) = payload.split_at(reply.len().min(payload.len()));
                self.put(&mut reply, stood_for.len());
                self.bytes.extend_from_slice(plain);
                if !reply.is_empty() {
                    self.replies.insert(head.stream, Reply::Goes(reply));
                }
            }
            Some(Reply::Begins { .. }) | None => self.bytes.extend_from_slice(payload),
        }
    }

    fn put(&mut self, reply: &mut Bytes, length: usize) {
        let length = length.min(reply.len());
        self.bytes.extend_from_slice(reply.get(..length).unwrap_or_default());
        reply.advance(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let head = [0, (payload.len() >> 8) as u8, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        [&head[..], payload].concat()
    }

    /// Two streams: the reply of one is put in, whatever frames it is cut into and whatever pieces they come in; the
    /// other's is sent as it is.
    #[test]
    fn replies_are_put_in_wherever_they_are_cut() {
        let reply = b"\0\0\0\0\x0aten bytes.".as_slice();
        for cut in 1..reply.len() {
            for piece in 1..40 {
                let cloakroom = Cloakroom::default();
                let shown = cloakroom.deposit(Bytes::from_static(reply));
                let frames = |first: &[u8]| {
                    [
                        frame(1, 4, 1, b"headers"),
                        frame(1, 4, 3, b"headers"),
                        frame(0, 0, 1, &first[..cut]),
                        frame(0, 0, 3, b"\0\0\0\0\x01x"),
                        frame(6, 0, 0, b"eight by"),
                        frame(0, 0, 1, &first[cut..]),
                        frame(1, 5, 1, b"trailers"),
                        frame(1, 5, 3, b"trailers"),
                    ]
                };
                let mut outgoing = Outgoing::new(cloakroom.clone());
                for bytes in frames(&shown).concat().chunks(piece) {
                    outgoing.write(bytes);
                }
                let mut expected = frames(reply);
                if cut < Cloakroom::HEAD {
                    // Held back until it is known which reply it is.
                    expected[2..5].rotate_left(1);
                }
                assert_eq!(outgoing.to_send(), expected.concat(), "cut at {cut}, pieces of {piece}");
                assert!(outgoing.replies.is_empty());
                outgoing.sent(expected.concat().len());
                assert!(outgoing.bytes.is_empty());
            }
        }
    }

    #[test]
    fn the_reply_of_a_stream_that_is_reset_is_dropped() {
        let cloakroom = Cloakroom::default();
        let shown = cloakroom.deposit(Bytes::from_static(b"\0\0\0\0\x0aten bytes."));
        let mut outgoing = Outgoing::new(cloakroom.clone());
        outgoing.write(
            &[frame(1, 4, 1, b""), frame(0, 0, 1, &shown[..8]), frame(3, 0, 1, b"\0\0\0\x08")].concat(),
        );
        assert!(outgoing.replies.is_empty());
    }
}

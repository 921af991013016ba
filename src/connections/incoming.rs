use tokio::io::ReadBuf;

use super::frame::{Frames, HEAD, Head, Kind, Piece};

/// What HTTP/2 begins with, before the first frame.
const PREFACE: usize = 24;
/// The largest frame that the HTTP/2 library takes in.
const LARGEST: usize = 16 * 1024;
/// As many of them as run over its buffer, which holds three at most, from one end to the other.
const ROUNDS: usize = 4;
/// A frame of a kind that there is not, and so to be ignored, with `LARGEST` zeros behind it.
const FILLER: [u8; HEAD] = [0, 0x40, 0, 0xfe, 0, 0, 0, 0, 0];

/// What a peer sends, as the HTTP/2 library reads it. Once a request was read, and nothing else is there to be read, the
/// library is given frames that it ignores, so that what it has read is overwritten in its buffer, which lives as long
/// as the connection.
#[derive(Default)]
pub(super) struct Incoming {
    preface: usize,
    frames: Frames,
    within_headers: bool,
    /// The streams that were reset by what was read last.
    resets: Vec<u32>,
    /// Whether something was read that should not stay.
    to_wipe: bool,
    /// How many bytes of fillers are still to be read.
    filler: usize,
    /// Whether fillers were read, and the rest of the buffer is not wiped yet.
    filled: bool,
}

impl Incoming {
    /// Notes what was read.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        let preface = (PREFACE - self.preface).min(bytes.len());
        self.preface += preface;
        bytes = bytes.get(preface..).unwrap_or_default();
        while let Some(piece) = self.frames.next(&mut bytes) {
            if let Piece::Payload(Head { kind: Kind::Reset, stream, .. }, _, 0) = piece {
                self.resets.push(stream);
            } else if let Piece::Head(head) = piece {
                if matches!(head.kind, Kind::Headers | Kind::Continuation) {
                    self.within_headers = head.leaves_headers_open();
                }
                self.to_wipe |= matches!(head.kind, Kind::Data | Kind::Headers | Kind::Continuation);
            }
        }
    }

    /// The streams that were reset, each once.
    pub(super) fn resets(&mut self) -> impl Iterator<Item = u32> {
        self.resets.drain(..)
    }

    /// There is nothing to be read. Whether there are fillers now.
    pub(super) fn pause(&mut self, spare: &mut ReadBuf<'_>) -> bool {
        if self.to_wipe && self.frames.are_whole() && !self.within_headers {
            self.to_wipe = false;
            self.filler = ROUNDS * (HEAD + LARGEST);
        } else if self.filled {
            self.filled = false;
            spare.initialize_unfilled().fill(0);
        }
        self.filler > 0
    }

    /// Reads fillers. Whether there were any.
    pub(super) fn fill(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.filler == 0 {
            return false;
        }
        while self.filler > 0 && buffer.remaining() > 0 {
            let at = (HEAD + LARGEST) - (self.filler - 1) % (HEAD + LARGEST) - 1;
            let head = FILLER.get(at..).unwrap_or_default();
            let length =
                if head.is_empty() { HEAD + LARGEST - at } else { head.len() }.min(buffer.remaining());
            match head.get(..length) {
                Some(head) => buffer.put_slice(head),
                None => {
                    buffer.initialize_unfilled_to(length).fill(0);
                    buffer.advance(length);
                }
            }
            self.filler -= length;
        }
        self.filled = true;
        true
    }
}

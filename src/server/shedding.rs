//! Requests that are refused before they are read, on a connection whose requests were refused again and again because the server
//! has more to do than it can.
//!
//! To read a request, to refuse it and to send the refusal costs a quarter of what it costs to answer one. So a server that is
//! asked for three times as much as it can do would do little else. Here a refusal costs a look at the heads of the request's frames.
//!
//! That needs a client without a table of headers. A header block may add to that table, and later blocks refer to it (RFC 7541),
//! so that the HTTP/2 library must read every block. The server asks the client to keep no table, with a SETTINGS frame of which
//! the library knows nothing. Once the client has agreed, and its next block has emptied the table, each block stands for itself,
//! and the frames of a request can be left out. A client that does not agree is served as before.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::HeaderMap;
use tokio::time::{Instant, Sleep, sleep_until};

use super::frames::{
    ACK, CONTINUATION, Cutter, DATA, END_STREAM, HEADERS, Head, Piece, RST_STREAM, SETTINGS, Streams,
    WINDOW_UPDATE,
};
use crate::api::{Connection, UnreadRefusal};

// Flags of frames.
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Settings: `SETTINGS_HEADER_TABLE_SIZE` of 0, and `SETTINGS_MAX_CONCURRENT_STREAMS` of 4096 (RFC 9113, section 6.5). A client
/// that had as many requests under way as it might would keep others back, until they are nearly late, though a refusal is quick.
const SETTINGS_ASKED: [u8; 12] = [0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0x10, 0];
/// The first byte of a block that empties the table (RFC 7541, section 6.3).
const TABLE_OF_0: u8 = 0x20;
/// `:status: 200` in a block (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

/// One of so many requests is read nevertheless. The gate knows better what to do with it, and sees how long callers wait now.
const SAMPLE: u32 = 256;
/// How many requests may be left out of which more is to come.
const MOST_OPEN: usize = 1024;
/// The number of bytes that were left out for which the peer is given new room. It has room for 64 KiB at least.
const ROOM: usize = 8 * 1024;
/// For how long refusals have one id and one record.
const TOGETHER: Duration = Duration::from_secs(1);
/// For how long nothing is read after requests were refused. What comes meanwhile is read at once, for a part of the cost.
const REST: Duration = Duration::from_millis(20);
/// How many bytes may wait for the peer. Then nothing is read until it takes some.
const MOST_REPLIES: usize = 64 * 1024;

/// How far the client has come.
enum State {
    /// It was asked to keep no table.
    Asked,
    /// It has agreed. Its next block must say so too.
    Agreed,
    /// It keeps no table.
    Without,
    /// It does not do as it has said: all its requests are read.
    Never,
}

/// What becomes of the rest of a frame.
enum Rest {
    Passed,
    LeftOut,
    /// It passes, and the byte at this place must empty the table.
    Checked(usize),
}

/// The frames of a connection, on their way from the peer to the HTTP/2 library.
pub(super) struct Shedding {
    connection: Arc<Connection>,
    cutter: Cutter,
    state: State,
    rest: Rest,
    /// The streams of requests that were passed.
    streams: Streams,
    /// The last stream that began.
    last: u32,
    /// The streams of requests that were left out, and of which more is to come.
    open: BTreeSet<u32>,
    /// The bytes that were left out, and for which the peer was not given new room.
    room: usize,
    /// The requests that were passed in this turn.
    passed: usize,
    /// Whether the library has written something, or has a request to answer, since the last flush.
    answers: bool,
    /// The requests until the next one that is passed anyway.
    until_sample: u32,
    /// The refusal of this second, with its header block.
    refusal: Option<Refusal>,
    /// Until when nothing is read.
    rest_until: Pin<Box<Sleep>>,
    /// What the library is to read.
    ready: BytesMut,
    /// What the peer is to read: refusals, and what the library has written.
    replies: BytesMut,
}

/// A refusal for many requests.
struct Refusal {
    refusal: UnreadRefusal,
    block: Vec<u8>,
    made: Instant,
}

impl Shedding {
    /// Asks the client of this connection to keep no table. The frames that it sends from here on are cut by the cutter,
    /// and these streams are open.
    pub(super) fn begin(connection: Arc<Connection>, (cutter, streams): (Cutter, Streams)) -> Self {
        let mut shedding = Self {
            connection,
            cutter,
            state: State::Asked,
            rest: Rest::Passed,
            last: streams.last(),
            streams,
            open: BTreeSet::new(),
            room: 0,
            passed: 0,
            answers: false,
            until_sample: SAMPLE,
            refusal: None,
            rest_until: Box::pin(sleep_until(Instant::now())),
            ready: BytesMut::new(),
            replies: BytesMut::new(),
        };
        shedding.reply(SETTINGS, 0, 0, &SETTINGS_ASKED);
        shedding
    }

    /// Takes what the peer has sent.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some(piece) = self.cutter.next(&mut bytes) {
            match piece {
                Piece::Head(head) => {
                    self.rest = self.rest_of(head);
                    if !matches!(self.rest, Rest::LeftOut) {
                        self.streams.read(head);
                        self.ready.extend_from_slice(&head.bytes());
                    }
                }
                Piece::Rest(bytes) => self.read_rest(bytes),
            }
        }
    }

    fn read_rest(&mut self, bytes: &[u8]) {
        match self.rest {
            Rest::LeftOut => return,
            Rest::Passed => {}
            Rest::Checked(place) => match bytes.get(place) {
                None => self.rest = Rest::Checked(place.saturating_sub(bytes.len())),
                Some(first) => {
                    self.rest = Rest::Passed;
                    self.state = if *first == TABLE_OF_0 { State::Without } else { State::Never };
                }
            },
        }
        self.ready.extend_from_slice(bytes);
    }

    /// What becomes of a frame.
    fn rest_of(&mut self, head: Head) -> Rest {
        let Head { length, kind, flags, stream } = head;
        match kind {
            SETTINGS if flags & ACK != 0 && matches!(self.state, State::Asked) => {
                self.state = State::Agreed;
                Rest::LeftOut
            }
            HEADERS if stream > self.last => self.begin_request(head),
            DATA if self.open.contains(&stream) => {
                self.room = self.room.saturating_add(length);
                if self.room >= ROOM {
                    let room = u32::try_from(std::mem::take(&mut self.room)).unwrap_or(0);
                    self.reply(WINDOW_UPDATE, 0, 0, &room.to_be_bytes());
                }
                self.leave_out(stream, flags & END_STREAM != 0)
            }
            HEADERS if self.open.contains(&stream) => self.leave_out(stream, flags & END_STREAM != 0),
            CONTINUATION if self.open.contains(&stream) => Rest::LeftOut,
            // The library has not heard of the streams after the last one that was passed.
            RST_STREAM if self.open.contains(&stream) || stream > self.streams.last() => {
                self.leave_out(stream, true)
            }
            WINDOW_UPDATE if self.open.contains(&stream) || stream > self.streams.last() => Rest::LeftOut,
            _ => Rest::Passed,
        }
    }

    /// What becomes of a request whose headers come.
    fn begin_request(&mut self, Head { flags, stream, .. }: Head) -> Rest {
        self.last = stream;
        self.until_sample = self.until_sample.saturating_sub(1);
        let can_be_refused =
            matches!(self.state, State::Without) && flags & END_HEADERS != 0 && self.open.len() < MOST_OPEN;
        let is_sample = self.until_sample == 0;
        if can_be_refused
            && (self.streams.count() >= self.most_passed()
                || !is_sample && self.connection.is_to_refuse_unread(self.passed))
        {
            self.refuse(stream);
            if flags & END_STREAM == 0 {
                self.open.insert(stream);
            }
            return Rest::LeftOut;
        }
        if is_sample {
            self.until_sample = SAMPLE;
        }
        self.passed += 1;
        self.answers = true;
        if !matches!(self.state, State::Agreed) {
            return Rest::Passed;
        }
        // The length of the padding, and the priority, come first.
        let padding = usize::from(flags & PADDED != 0);
        let priority = if flags & PRIORITY != 0 { 5 } else { 0 };
        Rest::Checked(padding + priority)
    }

    /// How many requests may be passed at a time. The client was told that there may be any number. The library knows of a lower one,
    /// beyond which it refuses requests without a reason: that must not happen, though it may count some for a moment longer.
    fn most_passed(&self) -> usize {
        let most = self.connection.most();
        most - most / 8
    }

    fn leave_out(&mut self, stream: u32, ends: bool) -> Rest {
        if ends {
            self.open.remove(&stream);
        }
        Rest::LeftOut
    }

    /// Refuses a request.
    fn refuse(&mut self, stream: u32) {
        let made = || {
            let (refusal, headers) = self.connection.refuse_unread()?;
            Some(Refusal { refusal, block: block(&headers), made: Instant::now() })
        };
        let Some(mut refusal) = self.refusal.take().or_else(made) else { return };
        refusal.refusal.add();
        self.reply(HEADERS, END_HEADERS | END_STREAM, stream, &refusal.block);
        self.refusal = Some(refusal);
    }

    fn reply(&mut self, kind: u8, flags: u8, stream: u32, rest: &[u8]) {
        self.replies.extend_from_slice(&Head { length: rest.len(), kind, flags, stream }.bytes());
        self.replies.extend_from_slice(rest);
    }

    /// Notes that the library looks at what was passed before it reads on. `is_drained`: all that had come was read.
    pub(super) fn end_turn(&mut self, is_drained: bool) {
        self.passed = 0;
        let Some(refusal) = &mut self.refusal else { return };
        let now = Instant::now();
        if refusal.refusal.record() && is_drained {
            self.rest_until.as_mut().reset(now + REST);
        }
        if now.duration_since(refusal.made) > TOGETHER {
            self.refusal = None;
        }
    }

    /// What the library is to read. Taking from it is up to the caller.
    pub(super) fn ready(&mut self) -> &mut BytesMut {
        &mut self.ready
    }

    /// Ready when the peer's bytes are to be read again.
    pub(super) fn poll_rested(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.rest_until.as_mut().poll(context)
    }

    /// Whether nothing is to be read or written until the peer has taken what waits.
    pub(super) fn is_full(&self) -> bool {
        self.replies.len() > MOST_REPLIES
    }

    /// What the peer is to read.
    pub(super) fn replies(&self) -> &[u8] {
        &self.replies
    }

    /// Notes that so much of it was written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.replies.advance(bytes.min(self.replies.len()));
    }

    /// Whether answers may come that could leave with what waits. Asked once for each flush.
    pub(super) fn answers(&mut self) -> bool {
        std::mem::take(&mut self.answers)
    }

    /// Adds what the library writes. It comes after the refusals that wait, which are whole frames.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.streams.wrote(bytes);
        self.answers = true;
        self.replies.extend_from_slice(bytes);
    }
}

/// Headers as a block that neither uses a table nor adds to it (RFC 7541, section 6.2.2).
fn block(headers: &HeaderMap) -> Vec<u8> {
    let mut block = vec![STATUS_200];
    for (name, value) in headers {
        block.push(0);
        for text in [name.as_str().as_bytes(), value.as_bytes()] {
            add_length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// Adds the length of a text that is not compressed (RFC 7541, section 5.1).
fn add_length(block: &mut Vec<u8>, length: usize) {
    const PREFIX: usize = 0x7f;
    let Some(mut more) = length.checked_sub(PREFIX) else {
        block.push((length & PREFIX) as u8);
        return;
    };
    block.push(PREFIX as u8);
    while more > PREFIX {
        block.push((more & PREFIX) as u8 | 0x80);
        more >>= 7;
    }
    block.push((more & PREFIX) as u8);
}

#[cfg(test)]
#[path = "shedding_tests.rs"]
mod tests;

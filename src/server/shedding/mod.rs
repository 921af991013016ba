//! Requests that are refused before they are read, on a connection whose requests were refused again and again because the server
//! has more to do than it can.
//!
//! To read a request, to refuse it and to send the refusal costs a large part of what it costs to answer one (docs/performance.md). So
//! a server that is asked for three times as much as it can do would do little else. Here a refusal costs a look at the heads of the request's frames.
//!
//! That needs a client without a table of headers. A header block may add to that table, and later blocks refer to it (RFC 7541),
//! so that the HTTP/2 library must read every block. The server asks the client to keep no table, with a SETTINGS frame of which
//! the library knows nothing. Once the client has agreed, and its next block has emptied the table, each block stands for itself,
//! and the frames of a request can be left out. A client that does not agree is served as before.

mod block;
mod table;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::time::{Instant, Sleep, sleep_until};

use self::block::block;
pub(super) use self::table::Broken;
use self::table::Table;
use super::frames::{
    ACK, CONTINUATION, Cutter, DATA, END_STREAM, HEADERS, Head, Piece, RST_STREAM, SETTINGS, Streams,
    WINDOW_UPDATE,
};
use crate::api::{Connection, UnreadRefusal};

/// The flag of a HEADERS frame that has all of its block.
const END_HEADERS: u8 = 0x4;

// The numbers of settings (RFC 9113, section 6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;
/// How many requests a client may have under way while requests are refused. A client that has as many as it may keeps others back, until
/// they are nearly late, though a refusal is quick. All of them may be reset at once, at a deadline: the limits on resets and on frames
/// without a request are higher.
const MANY: u32 = 1024;
/// For how long no request must have been late until it may have as many as before.
const CALM: Duration = Duration::from_secs(5);

/// One of so many requests is read nevertheless. The gate knows better what to do with it, and sees how long callers wait now.
const SAMPLE: u32 = 256;
/// How many requests may be left out of which more is to come: more than a client may have under way, unless the connection may have more.
const MOST_OPEN: usize = 2048;
/// The number of bytes that were left out for which the peer is given new room. It has room for 64 KiB at least.
const ROOM: usize = 8 * 1024;
/// For how long refusals have one id and one record.
const TOGETHER: Duration = Duration::from_secs(1);
/// For how long nothing is read after requests were refused. What comes meanwhile is read at once, for a part of the cost.
const REST: Duration = Duration::from_millis(10);
/// How many bytes may wait for the peer. Then nothing is read until it takes some.
const MOST_REPLIES: usize = 32 * 1024;
/// The shortest header block of a request without a table, in bytes. A refusal is long, so a shorter one is left to the library.
const LEAST_HEADERS: usize = 48;

/// What becomes of the rest of a frame.
struct Rest {
    is_left_out: bool,
    /// Whether it has headers.
    is_block: bool,
}

/// The frames of a connection, on their way from the peer to the HTTP/2 library.
pub(super) struct Shedding {
    connection: Arc<Connection>,
    cutter: Cutter,
    table: Table,
    rest: Rest,
    /// Whether CONTINUATION frames of a block come that is left out.
    in_left_out: bool,
    /// The settings to which the peer has not agreed yet.
    asked: usize,
    /// Whether the peer may have many requests under way.
    is_raised: bool,
    /// Whether a request was refused in this turn because it would be late.
    is_late: bool,
    /// The last turn in which one was.
    refused: Instant,
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
            table: Table::asked(),
            rest: Rest { is_left_out: false, is_block: false },
            in_left_out: false,
            asked: 0,
            is_raised: false,
            is_late: false,
            refused: Instant::now(),
            last: streams.last(),
            streams,
            open: BTreeSet::new(),
            room: 0,
            passed: 0,
            until_sample: SAMPLE,
            refusal: None,
            rest_until: Box::pin(sleep_until(Instant::now())),
            ready: BytesMut::new(),
            replies: BytesMut::new(),
        };
        shedding.ask(HEADER_TABLE_SIZE, 0);
        shedding
    }

    /// Takes what the peer has sent.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while let Some(piece) = self.cutter.next(&mut bytes) {
            match piece {
                Piece::Head(head) => {
                    if head.kind == HEADERS {
                        self.table.begin_block(head);
                    }
                    let is_left_out = self.leaves_out(head);
                    self.rest = Rest { is_left_out, is_block: matches!(head.kind, HEADERS | CONTINUATION) };
                    if !is_left_out {
                        self.streams.read(head);
                        self.ready.extend_from_slice(&head.bytes());
                    }
                }
                Piece::Rest(bytes) => {
                    if self.rest.is_block {
                        self.table.read(bytes)?;
                    }
                    if !self.rest.is_left_out {
                        self.ready.extend_from_slice(bytes);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a frame is left out.
    fn leaves_out(&mut self, head: Head) -> bool {
        let Head { length, kind, flags, stream } = head;
        let is_open = self.open.contains(&stream);
        // The library has not heard of the streams after the last one that was passed.
        let is_unheard = stream > self.streams.last();
        match kind {
            SETTINGS if flags & ACK != 0 => {
                self.table.agree();
                let is_ours = self.asked > 0;
                self.asked = self.asked.saturating_sub(1);
                is_ours
            }
            HEADERS if stream > self.last => self.refuses(head),
            HEADERS if is_open || is_unheard => {
                self.in_left_out = flags & END_HEADERS == 0;
                self.end(head);
                true
            }
            CONTINUATION if self.in_left_out => {
                self.in_left_out = flags & END_HEADERS == 0;
                true
            }
            DATA if is_open => {
                self.room = self.room.saturating_add(length);
                if self.room >= ROOM {
                    let room = u32::try_from(std::mem::take(&mut self.room)).unwrap_or(0);
                    self.reply(WINDOW_UPDATE, 0, 0, &room.to_be_bytes());
                }
                self.end(head);
                true
            }
            RST_STREAM if is_open || is_unheard => {
                self.open.remove(&stream);
                true
            }
            WINDOW_UPDATE => is_open || is_unheard,
            _ => false,
        }
    }

    /// Notes the end of a request that is left out.
    fn end(&mut self, Head { flags, stream, .. }: Head) {
        if flags & END_STREAM != 0 {
            self.open.remove(&stream);
        }
    }

    /// Refuses a request whose headers come, if it is to be refused.
    fn refuses(&mut self, Head { length, flags, stream, .. }: Head) -> bool {
        self.last = stream;
        self.until_sample = self.until_sample.saturating_sub(1);
        let can_be_refused = self.table.is_without()
            && self.streams.is_settled()
            && flags & END_HEADERS != 0
            && length >= LEAST_HEADERS
            && self.open.len() < MOST_OPEN;
        let is_sample = self.until_sample == 0;
        let is_late = can_be_refused && !is_sample && self.connection.is_to_refuse_unread(self.passed);
        if is_late {
            self.raise();
        }
        if is_late || can_be_refused && self.is_beyond_limit() {
            self.refuse(stream);
            if flags & END_STREAM == 0 {
                self.open.insert(stream);
            }
            return true;
        }
        if is_sample {
            self.until_sample = SAMPLE;
        }
        self.passed += 1;
        false
    }

    /// Whether the library could refuse another request, since it has as many as the connection may have. It gives no reason, so
    /// that must not happen, though it may count some for a moment longer.
    fn is_beyond_limit(&self) -> bool {
        let most = self.connection.most();
        (self.is_raised || self.asked > 0) && self.streams.count() >= most - most / 8
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

    /// Lets the client have many requests under way.
    fn raise(&mut self) {
        self.is_late = true;
        if !self.is_raised {
            self.is_raised = true;
            self.ask(MAX_CONCURRENT_STREAMS, MANY.max(self.most()));
        }
    }

    /// Lets the client have as many requests under way as before.
    fn lower(&mut self) {
        if self.is_raised {
            self.is_raised = false;
            self.ask(MAX_CONCURRENT_STREAMS, self.most());
        }
    }

    fn most(&self) -> u32 {
        u32::try_from(self.connection.most()).unwrap_or(u32::MAX)
    }

    /// Asks the client to agree to a setting.
    fn ask(&mut self, setting: u16, value: u32) {
        let [a, b] = setting.to_be_bytes();
        let [c, d, e, f] = value.to_be_bytes();
        self.reply(SETTINGS, 0, 0, &[a, b, c, d, e, f]);
        self.asked += 1;
    }

    fn reply(&mut self, kind: u8, flags: u8, stream: u32, rest: &[u8]) {
        self.replies.extend_from_slice(&Head { length: rest.len(), kind, flags, stream }.bytes());
        self.replies.extend_from_slice(rest);
    }

    /// Notes that the library looks at what was passed before it reads on. `is_drained`: all that had come was read.
    pub(super) fn end_turn(&mut self, is_drained: bool) {
        self.passed = 0;
        if self.refusal.is_none() && !self.is_raised {
            return;
        }
        let now = Instant::now();
        if std::mem::take(&mut self.is_late) {
            self.refused = now;
        }
        if let Some(refusal) = &mut self.refusal {
            if refusal.refusal.record() && is_drained {
                self.rest_until.as_mut().reset(now + REST);
            }
            if now.duration_since(refusal.made) > TOGETHER {
                self.refusal = None;
            }
        }
        if now.duration_since(self.refused) > CALM {
            self.lower();
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

    /// Whether nothing is to be read until the peer has taken what waits.
    pub(super) fn is_full(&self) -> bool {
        self.replies.len() > MOST_REPLIES
    }

    /// Whether the same holds for what the library writes. A frame that it has begun to write comes to its end: nothing else may come
    /// before.
    pub(super) fn is_full_for_the_library(&self) -> bool {
        self.is_full() && self.streams.is_between()
    }

    /// What the peer is to read.
    pub(super) fn replies(&self) -> &[u8] {
        &self.replies
    }

    /// Notes that so much of it was written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.replies.advance(bytes.min(self.replies.len()));
        if self.replies.is_empty() && self.replies.capacity() > MOST_REPLIES {
            self.replies = BytesMut::new();
        }
    }

    /// Adds what the library writes. It comes after the refusals that wait, which are whole frames.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.streams.wrote(bytes);
        self.replies.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests;

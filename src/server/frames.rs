//! The frames of a connection, as far as their heads tell: bytes are cut into frames, the streams of unanswered requests are known,
//! and a flood of frames that carry no request is noticed here.
//!
//! The HTTP/2 library answers each PING and SETTINGS, and looks at each PRIORITY, WINDOW_UPDATE and RST_STREAM, however many
//! they are. (It has limits of its own for CONTINUATION, for small DATA, and for resets of requests that were not looked at.)

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::socket::PREFACE;
use super::windows::{WindowFrames, Windows};

/// The length of a frame's head, in bytes (RFC 9113, section 4.1).
pub(super) const HEAD: usize = 9;
// The types of frames (RFC 9113, section 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
/// The flag of a SETTINGS frame that agrees to the settings of the other side.
pub(super) const ACK: u8 = 0x1;
/// The flag of a HEADERS or DATA frame after which its sender sends no more on the stream.
pub(super) const END_STREAM: u8 = 0x1;

/// How many frames that carry nothing may come at once.
const BURST: u64 = 2000;
/// The time after which there may be one more.
const PER_FRAME: Duration = Duration::from_millis(10);
/// How many more there may be for each request: the updates of the windows for its reply, and a ping to measure the way.
const PER_REQUEST: u64 = 8;
/// The number of bytes that the server sends for which there may be one more. A client that downloads much sends a ping and
/// two updates of windows for each 16 KiB, and so uses a twentieth of this.
const BYTES_PER_FRAME: usize = 256;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The length of the rest of the frame, in bytes.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0: the connection.
    pub(super) stream: u32,
}

impl Head {
    fn read([a, b, c, kind, flags, d, e, f, g]: [u8; HEAD]) -> Self {
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Self { length, kind, flags, stream: u32::from_be_bytes([d & 0x7f, e, f, g]) }
    }

    /// The bytes of the head.
    pub(super) fn bytes(self) -> [u8; HEAD] {
        let [_, a, b, c] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }
}

/// What comes next of frames.
pub(super) enum Piece<'a> {
    /// A frame begins.
    Head(Head),
    /// Bytes of the frame that began last.
    Rest(&'a [u8]),
}

/// Cuts bytes into frames, wherever pieces of them end.
pub(super) struct Cutter {
    /// The bytes until the next head.
    rest: usize,
    /// The next head, as far as it has come.
    head: [u8; HEAD],
    come: usize,
}

impl Cutter {
    /// The first head comes after so many bytes.
    pub(super) fn after(rest: usize) -> Self {
        Self { rest, head: [0; HEAD], come: 0 }
    }

    /// The same from here on. `None` within a head.
    pub(super) fn resumed(&self) -> Option<Self> {
        (self.come == 0).then(|| Self::after(self.rest))
    }

    /// Whether a frame has ended and no other one has begun.
    fn is_between(&self) -> bool {
        self.come == 0 && self.rest == 0
    }

    /// Takes the next piece from these bytes. `None`: they end, perhaps within a head.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Piece<'a>> {
        if self.rest > 0 {
            let (rest, after) = bytes.split_at_checked(self.rest).unwrap_or((bytes, &[]));
            *bytes = after;
            self.rest -= rest.len();
            return (!rest.is_empty()).then_some(Piece::Rest(rest));
        }
        let wanted = self.head.iter_mut().skip(self.come);
        let come = wanted.zip(*bytes).map(|(to, from)| *to = *from).count();
        *bytes = bytes.get(come..).unwrap_or_default();
        self.come += come;
        if self.come < HEAD {
            return None;
        }
        self.come = 0;
        let head = Head::read(self.head);
        self.rest = head.length;
        Some(Piece::Head(head))
    }
}

/// The streams that the HTTP/2 library counts as open, and perhaps some whose end it has not written yet.
pub(super) struct Streams {
    /// In the order of their numbers.
    open: Vec<Stream>,
    /// How many are noted.
    most: usize,
    /// The last one that began.
    last: u32,
    written: Cutter,
    settings: PeerSettings,
}

/// Whether the library's answers are as the last settings of the peer want them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PeerSettings {
    /// They have come.
    Come,
    /// The library has agreed to them. Its next header block says so too, if they are about the table of headers.
    Agreed,
    /// They hold.
    Hold,
}

/// A stream of which at least one side has more to send.
struct Stream {
    number: u32,
    /// Whether the peer has sent all of its request.
    sent: bool,
    /// Whether the server has written all of its answer.
    answered: bool,
}

impl Streams {
    /// The streams of a connection on which nothing was sent. There are so many at a time. The library ignores those that begin after
    /// it has told the peer to go, and then their ends are not seen: no more than twice as many are noted.
    pub(super) fn new(most: usize) -> Self {
        Self {
            open: Vec::new(),
            most: most.saturating_mul(2),
            last: 0,
            written: Cutter::after(0),
            settings: PeerSettings::Come,
        }
    }

    /// Notes a frame for the library.
    pub(super) fn read(&mut self, head: Head) {
        if head.kind == SETTINGS && head.flags & ACK == 0 {
            self.settings = PeerSettings::Come;
        }
        if head.kind == HEADERS && head.stream > self.last {
            self.last = head.stream;
            if self.open.len() < self.most {
                self.open.push(Stream { number: head.stream, sent: false, answered: false });
            }
        }
        self.end(head, |stream| stream.sent = true);
    }

    /// Notes what the library has written.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) {
        while let Some(piece) = self.written.next(&mut bytes) {
            if let Piece::Head(head) = piece {
                self.end(head, |stream| stream.answered = true);
                self.settings = match (self.settings, head.kind) {
                    (PeerSettings::Come, SETTINGS) if head.flags & ACK != 0 => PeerSettings::Agreed,
                    (PeerSettings::Agreed, HEADERS) => PeerSettings::Hold,
                    (settings, _) => settings,
                };
            }
        }
    }

    /// Ends one side of a stream, or both, if the frame does so.
    fn end(&mut self, Head { kind, flags, stream, .. }: Head, side: impl FnOnce(&mut Stream)) {
        let ends = matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
        if !ends && kind != RST_STREAM {
            return;
        }
        let Ok(place) = self.open.binary_search_by_key(&stream, |open| open.number) else { return };
        let Some(open) = self.open.get_mut(place) else { return };
        side(open);
        if kind == RST_STREAM || open.sent && open.answered {
            self.open.remove(place);
        }
    }

    /// Whether a header block may come before the library's next one.
    pub(super) fn is_settled(&self) -> bool {
        self.settings == PeerSettings::Hold
    }

    /// Whether what the library has written ends with a frame.
    pub(super) fn is_between(&self) -> bool {
        self.written.is_between()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// The last one that began.
    pub(super) fn last(&self) -> u32 {
        self.last
    }
}

/// Too many frames carried nothing.
#[derive(Debug, thiserror::Error)]
#[error("the peer sent too many frames that carry no request")]
pub(super) struct Flood;

/// The frames that a peer sends.
pub(super) struct Frames {
    cutter: Cutter,
    /// Whether the peer has agreed to the settings of the library.
    settled: bool,
    /// `None`: they are counted elsewhere.
    streams: Option<Streams>,
    window_frames: WindowFrames,
    windows: Arc<Windows>,
    /// How many more frames may carry nothing.
    spare: u64,
    /// The time to which `spare` was counted.
    counted: Instant,
    /// The bytes that were sent since the last one that counted.
    sent: usize,
}

impl Frames {
    /// The frames of a connection that begins now, and may have so many requests at a time.
    pub(super) fn new(most: usize, now: Instant) -> Self {
        Self {
            cutter: Cutter::after(PREFACE),
            settled: false,
            streams: Some(Streams::new(most)),
            window_frames: WindowFrames::default(),
            windows: Arc::new(Windows::new()),
            spare: BURST,
            counted: now,
            sent: 0,
        }
    }

    /// The windows that the frames give.
    pub(super) fn windows(&self) -> &Arc<Windows> {
        &self.windows
    }

    /// Whether the peer has agreed to the settings of the library, which sends some once.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// What cuts the bytes that come from here on, and the streams, which are not counted here any more. `None` within a head of the
    /// peer, and within a frame of the server.
    pub(super) fn hand_over(&mut self) -> Option<(Cutter, Streams)> {
        let cutter = self.cutter.resumed()?;
        let streams = self.streams.take_if(|streams| streams.is_between())?;
        Some((cutter, streams))
    }

    /// Notes the bytes that the server has sent.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        if let Some(streams) = &mut self.streams {
            streams.wrote(bytes);
        }
        self.sent = self.sent.saturating_add(bytes.len());
        self.allow((self.sent / BYTES_PER_FRAME) as u64);
        self.sent %= BYTES_PER_FRAME;
    }

    /// Reads the bytes that the peer has sent.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        while let Some(piece) = self.cutter.next(&mut bytes) {
            match piece {
                Piece::Head(head) => {
                    if let Some(streams) = &mut self.streams {
                        streams.read(head);
                    }
                    self.window_frames.begin(head);
                    self.count(head, now)?;
                }
                Piece::Rest(bytes) => self.window_frames.read(bytes, &self.windows),
            }
        }
        Ok(())
    }

    fn count(&mut self, head: Head, now: Instant) -> Result<(), Flood> {
        self.settled |= head.kind == SETTINGS && head.flags & ACK != 0;
        match head.kind {
            HEADERS => self.allow(PER_REQUEST),
            CONTINUATION => {}
            DATA if head.length > 0 => {}
            _ if self.spare > 0 => self.spare -= 1,
            _ => {
                let earned = now.duration_since(self.counted).as_nanos() / PER_FRAME.as_nanos();
                let earned = u64::try_from(earned).unwrap_or(BURST).min(BURST);
                if earned == 0 {
                    return Err(Flood);
                }
                self.counted = now;
                self.spare = earned - 1;
            }
        }
        Ok(())
    }

    fn allow(&mut self, frames: u64) {
        self.spare = self.spare.saturating_add(frames).min(BURST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0; HEAD + length];
        frame[1..3].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        frame[3] = kind;
        frame
    }

    const PING: u8 = 6;

    /// The number of times that frames can be read, in pieces of so many bytes; at most 100,000.
    fn times(frame: &[u8], piece: usize) -> usize {
        let now = Instant::now();
        let mut frames = Frames::new(10, now);
        frames.read(&[b'P'; PREFACE], now).unwrap();
        (0..100_000)
            .find(|_| frame.chunks(piece).any(|piece| frames.read(piece, now).is_err()))
            .unwrap_or(100_000)
    }

    #[test]
    fn frames_that_carry_nothing_are_few_however_they_are_cut() {
        let ping = frame(PING, 8);
        for piece in [1, 2, 9, 16, 17] {
            assert_eq!(times(&ping, piece), 2000, "in pieces of {piece}");
        }
        assert_eq!(times(&frame(DATA, 0), 100), 2000);
        // A request allows some.
        let request = [frame(HEADERS, 100), frame(DATA, 300), ping.repeat(8)].concat();
        assert_eq!(times(&request, 1000), 100_000);
        let request = [frame(HEADERS, 100), frame(DATA, 300), ping.repeat(9)].concat();
        assert!(times(&request, 1000) < 2001);
    }

    fn with_flags(kind: u8, flags: u8, stream: u8) -> Vec<u8> {
        let mut frame = frame(kind, 3);
        (frame[4], frame[8]) = (flags, stream);
        frame
    }

    #[test]
    fn a_stream_is_open_until_both_sides_have_ended_it() {
        let now = Instant::now();
        let mut frames = Frames::new(10, now);
        frames.read(&[b'P'; PREFACE], now).unwrap();
        let (end, reset) = (END_STREAM, 0);
        for request in [
            [with_flags(HEADERS, 0, 1), with_flags(DATA, end, 1)].concat(),
            with_flags(HEADERS, end, 3),
            with_flags(HEADERS, 0, 5),
            with_flags(HEADERS, 0, 7),
            with_flags(HEADERS, 0, 9),
            with_flags(RST_STREAM, reset, 9),
        ] {
            frames.read(&request, now).unwrap();
        }
        let answers = [
            [with_flags(HEADERS, 0, 1), with_flags(DATA, 0, 1), with_flags(HEADERS, end, 1)].concat(),
            with_flags(HEADERS, end, 5),
            with_flags(RST_STREAM, reset, 7),
        ];
        for piece in answers.concat().chunks(5) {
            frames.wrote(piece);
        }
        // 3 is not answered, and 5 is not sent to its end.
        let (_, streams) = frames.hand_over().unwrap();
        assert_eq!((streams.count(), streams.last()), (2, 9));
    }

    #[test]
    fn streams_whose_end_is_not_seen_take_bounded_room() {
        let mut streams = Streams::new(10);
        for stream in 1..1000 {
            streams.read(Head { length: 0, kind: HEADERS, flags: 0, stream });
        }
        assert_eq!((streams.count(), streams.last()), (20, 999));
    }

    #[test]
    fn nothing_is_handed_over_within_a_frame_of_the_server_or_a_head_of_the_peer() {
        let now = Instant::now();
        let mut frames = Frames::new(10, now);
        frames.read(&[b'P'; PREFACE], now).unwrap();
        let answer = with_flags(HEADERS, 0, 1);
        frames.wrote(&answer[..10]);
        assert!(frames.hand_over().is_none());
        frames.wrote(&answer[10..]);
        frames.read(&frame(DATA, 2)[..5], now).unwrap();
        assert!(frames.hand_over().is_none());
        frames.read(&frame(DATA, 2)[5..10], now).unwrap();
        let (mut cutter, _) = frames.hand_over().unwrap();
        let mut rest: &[u8] = &[0; 1];
        assert!(matches!(cutter.next(&mut rest), Some(Piece::Rest([0]))));
    }

    #[test]
    fn time_and_replies_allow_more() {
        let mut now = Instant::now();
        let mut frames = Frames::new(10, now);
        let ping = frame(PING, 8);
        frames.read(&[b'P'; PREFACE], now).unwrap();
        frames.read(&ping.repeat(2000), now).unwrap();
        frames.read(&ping, now).unwrap_err();
        now += PER_FRAME * 7;
        frames.read(&ping.repeat(7), now).unwrap();
        frames.read(&ping, now).unwrap_err();
        frames.wrote(&[0; 3 * BYTES_PER_FRAME - 1]);
        frames.wrote(&[0]);
        frames.read(&ping.repeat(3), now).unwrap();
        frames.read(&ping, now).unwrap_err();
    }
}

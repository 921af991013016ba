//! The frames that a peer sends, as far as their heads tell: a flood of frames that carry no request is noticed here.
//!
//! The HTTP/2 library answers each PING and SETTINGS, and looks at each PRIORITY, WINDOW_UPDATE and RST_STREAM, however many
//! they are. (It has limits of its own for CONTINUATION, for small DATA, and for resets of requests that were not looked at.)

use std::time::Duration;

use tokio::time::Instant;

use super::socket::PREFACE;

/// The length of a frame's head, in bytes (RFC 9113, section 4.1).
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// How many frames that carry nothing may come at once.
const BURST: u64 = 2000;
/// The time after which there may be one more.
const PER_FRAME: Duration = Duration::from_millis(10);
/// How many more there may be for each request: the updates of the windows for its reply, and a ping to measure the way.
const PER_REQUEST: u64 = 8;
/// The number of bytes that the server sends for which there may be one more. A client that downloads much sends a ping and
/// two updates of windows for each 16 KiB, and so uses a twentieth of this.
const BYTES_PER_FRAME: usize = 256;

/// Too many frames carried nothing.
#[derive(Debug, thiserror::Error)]
#[error("the peer sent too many frames that carry no request")]
pub(super) struct Flood;

/// The frames that a peer sends.
pub(super) struct Frames {
    /// The bytes until the next head.
    skip: usize,
    /// The next head, as far as it has come.
    head: [u8; HEAD],
    come: usize,
    /// How many more frames may carry nothing.
    spare: u64,
    /// The time to which `spare` was counted.
    counted: Instant,
    /// The bytes that were sent since the last one that counted.
    sent: usize,
}

impl Frames {
    /// The frames of a connection that begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self { skip: PREFACE, head: [0; HEAD], come: 0, spare: BURST, counted: now, sent: 0 }
    }

    /// Notes that the server sent so many bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
        self.allow((self.sent / BYTES_PER_FRAME) as u64);
        self.sent %= BYTES_PER_FRAME;
    }

    /// Reads the bytes that the peer has sent.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            let wanted = self.head.iter_mut().skip(self.come);
            let come = wanted.zip(bytes).map(|(to, from)| *to = *from).count();
            self.come += come;
            bytes = bytes.get(come..).unwrap_or_default();
            if self.come == HEAD {
                self.come = 0;
                let [a, b, c, kind, ..] = self.head;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.count(kind, now)?;
            }
        }
    }

    /// Counts a frame, whose length is `skip`.
    fn count(&mut self, kind: u8, now: Instant) -> Result<(), Flood> {
        match kind {
            HEADERS => self.allow(PER_REQUEST),
            CONTINUATION => {}
            DATA if self.skip > 0 => {}
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
        let mut frames = Frames::new(now);
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

    #[test]
    fn time_and_replies_allow_more() {
        let mut now = Instant::now();
        let mut frames = Frames::new(now);
        let ping = frame(PING, 8);
        frames.read(&[b'P'; PREFACE], now).unwrap();
        frames.read(&ping.repeat(2000), now).unwrap();
        frames.read(&ping, now).unwrap_err();
        now += PER_FRAME * 7;
        frames.read(&ping.repeat(7), now).unwrap();
        frames.read(&ping, now).unwrap_err();
        frames.wrote(3 * BYTES_PER_FRAME - 1);
        frames.wrote(1);
        frames.read(&ping.repeat(3), now).unwrap();
        frames.read(&ping, now).unwrap_err();
    }
}

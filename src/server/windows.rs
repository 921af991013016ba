//! The windows of a peer: how much it lets the server send on each stream, and on the connection.
//!
//! The HTTP/2 library takes a piece of an answer once there is room for its first byte, and does not tell how much room there is. So
//! this counts along: what the peer's frames allow, less what answers have given to the library. It is never more than the room that
//! the library has. It is less where a stream ended before the library could send what it was given.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use super::frames::{ACK, Head, SETTINGS, WINDOW_UPDATE};

/// The window of a connection, and of a stream of a peer that sets none, in bytes (RFC 9113, section 6.9.2).
const INITIAL: u32 = 65_535;
/// The setting that gives the window of each stream (RFC 9113, section 6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;
/// The length of a setting, in bytes: its number and its value.
const SETTING: usize = 6;
/// The length of an update of a window, in bytes.
const UPDATE: usize = 4;

/// The windows of a connection.
pub(super) struct Windows {
    /// What a stream may send before the peer updates its window.
    of_stream: AtomicU32,
    /// What is left of the connection's window.
    left: AtomicI64,
}

impl Windows {
    /// The windows of a connection that begins now.
    pub(super) fn new() -> Self {
        Self { of_stream: AtomicU32::new(INITIAL), left: AtomicI64::new(INITIAL.into()) }
    }

    /// Notes that an answer gives so many bytes to the library, after `before` others. Gives whether the library can send all of them at
    /// once.
    pub(super) fn give(&self, before: usize, bytes: usize) -> bool {
        let of_stream = usize::try_from(self.of_stream.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let left = self.left.fetch_sub(signed(bytes), Ordering::Relaxed);
        left >= signed(bytes) && before.saturating_add(bytes) <= of_stream
    }

    /// Notes that so many bytes were not given after all.
    pub(super) fn take_back(&self, bytes: usize) {
        self.left.fetch_add(signed(bytes), Ordering::Relaxed);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Reads the frames of a peer that change its windows, wherever pieces of them end.
#[derive(Default)]
pub(super) struct WindowFrames {
    kind: Option<Kind>,
    /// A setting or an update, as far as it has come.
    part: [u8; SETTING],
    come: usize,
}

/// What the frame that began last consists of.
#[derive(Clone, Copy)]
enum Kind {
    Settings,
    Update,
}

impl WindowFrames {
    /// A frame begins.
    pub(super) fn begin(&mut self, head: Head) {
        self.come = 0;
        self.kind = match head.kind {
            SETTINGS if head.flags & ACK == 0 => Some(Kind::Settings),
            WINDOW_UPDATE if head.stream == 0 => Some(Kind::Update),
            _ => None,
        };
    }

    /// Reads bytes of the frame that began last.
    pub(super) fn read(&mut self, bytes: &[u8], windows: &Windows) {
        let Some(kind) = self.kind else { return };
        for byte in bytes {
            if let Some(next) = self.part.get_mut(self.come) {
                *next = *byte;
            }
            self.come += 1;
            match (kind, self.part) {
                (Kind::Settings, [a, b, value @ ..]) if self.come == SETTING => {
                    self.come = 0;
                    if u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE {
                        windows.of_stream.store(u32::from_be_bytes(value), Ordering::Relaxed);
                    }
                }
                (Kind::Update, [a, b, c, d, ..]) if self.come == UPDATE => {
                    self.kind = None;
                    let more = u32::from_be_bytes([a & 0x7f, b, c, d]);
                    windows.left.fetch_add(more.into(), Ordering::Relaxed);
                    return;
                }
                (Kind::Settings | Kind::Update, _) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The windows after these frames, which come in pieces of so many bytes.
    fn after(frames: &[(u8, u8, u32, &[u8])], piece: usize) -> (u32, i64) {
        let (windows, mut reading) = (Windows::new(), WindowFrames::default());
        for (kind, flags, stream, payload) in frames {
            reading.begin(Head { length: payload.len(), kind: *kind, flags: *flags, stream: *stream });
            payload.chunks(piece).for_each(|bytes| reading.read(bytes, &windows));
        }
        (windows.of_stream.into_inner(), windows.left.into_inner())
    }

    #[test]
    fn windows_are_what_the_frames_say_however_they_are_cut() {
        let settings = [0, 3, 0, 0, 0, 9, 0, 4, 0, 0, 1, 2, 0, 2, 0, 0, 0, 0];
        for piece in [1, 4, 6, 7, 100] {
            let both = [(SETTINGS, 0, 0, &settings[..]), (WINDOW_UPDATE, 0, 0, &[0x80, 0, 1, 0])];
            assert_eq!(after(&both, piece), (0x102, 65_535 + 0x100), "in pieces of {piece}");
            let none = [
                (SETTINGS, ACK, 0, &[][..]),
                (WINDOW_UPDATE, 0, 1, &[0, 0, 1, 0]),
                (6, 0, 0, &[0, 4, 0, 0, 1, 2, 0, 0]),
            ];
            assert_eq!(after(&none, piece), (INITIAL, 65_535), "in pieces of {piece}");
        }
    }

    #[test]
    fn answers_use_up_the_window_of_the_connection_and_of_their_stream() {
        let windows = Windows::new();
        windows.of_stream.store(100, Ordering::Relaxed);
        assert!(windows.give(0, 100) && windows.give(99, 1));
        assert!(!windows.give(100, 1) && !windows.give(0, 101));
        windows.left.store(10, Ordering::Relaxed);
        assert!(windows.give(0, 10) && !windows.give(0, 1));
        windows.take_back(2);
        assert!(windows.give(0, 1) && !windows.give(0, 1));
    }
}

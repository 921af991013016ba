//! The table of headers that a client keeps, as far as it has agreed to keep none (HPACK, RFC 7541).

use super::super::frames::Head;

const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The first bits of an update of the table's size (section 6.3).
const UPDATE: u8 = 0x20;
const UPDATE_BITS: u8 = 0xe0;
/// An update to the size of 0.
const EMPTY: u8 = 0x20;

/// The client has agreed to keep no table, and then began one.
#[derive(Debug, thiserror::Error)]
#[error("the peer has agreed to keep no table of headers, and began one")]
pub(in crate::server) struct Broken;

/// The table of a client.
pub(super) struct Table {
    state: State,
    /// The beginning of the header block that comes now.
    beginning: Option<Beginning>,
}

/// How far the client has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was asked to keep no table.
    Asked,
    /// It has agreed. Its next block must say so too.
    Agreed,
    /// It keeps no table.
    Without,
    /// It does not do as it was asked.
    Kept,
}

/// The beginning of a header block, where updates of the table's size are.
struct Beginning {
    /// The bytes before it: the length of the padding, and the priority.
    skip: usize,
}

impl Table {
    /// The table of a client that was asked to keep none.
    pub(super) fn asked() -> Self {
        Self { state: State::Asked, beginning: None }
    }

    /// The client has agreed.
    pub(super) fn agree(&mut self) {
        if self.state == State::Asked {
            self.state = State::Agreed;
        }
    }

    /// Whether the client keeps no table, so that blocks can be left out.
    pub(super) fn is_without(&self) -> bool {
        self.state == State::Without
    }

    /// A HEADERS frame comes.
    pub(super) fn begin_block(&mut self, Head { flags, .. }: Head) {
        let padding = usize::from(flags & PADDED != 0);
        let priority = if flags & PRIORITY != 0 { 5 } else { 0 };
        let is_read = matches!(self.state, State::Agreed | State::Without);
        self.beginning = is_read.then_some(Beginning { skip: padding + priority });
    }

    /// Reads bytes of HEADERS and CONTINUATION frames.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let Some(Beginning { skip }) = &mut self.beginning else { return Ok(()) };
        let (skipped, rest) = bytes.split_at_checked(*skip).unwrap_or((bytes, &[]));
        *skip -= skipped.len();
        for byte in rest {
            match (*byte, self.state) {
                (EMPTY, State::Agreed | State::Without) => self.state = State::Without,
                (byte, State::Without) if byte & UPDATE_BITS == UPDATE => return Err(Broken),
                (_, state) => {
                    if state == State::Agreed {
                        self.state = State::Kept;
                    }
                    self.beginning = None;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

//! Where HTTP/2's frames begin and end in a stream of bytes.

/// The bytes of a frame's head.
pub(super) const HEAD: usize = 9;

/// What a frame is, as far as it matters here.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Data,
    Headers,
    Reset,
    Continuation,
    Other,
}

/// The head of a frame.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) stream: u32,
    pub(super) length: usize,
    flags: u8,
    bytes: [u8; HEAD],
}

impl Head {
    /// Whether the frame is its stream's last.
    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & 0x1 != 0
    }

    /// Whether more frames of the same headers follow, with none between.
    pub(super) fn leaves_headers_open(&self) -> bool {
        matches!(self.kind, Kind::Headers | Kind::Continuation) && self.flags & 0x4 == 0
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn parse(bytes: [u8; HEAD]) -> Self {
        let [l1, l2, l3, kind, flags, s1, s2, s3, s4] = bytes;
        let kind = match kind {
            0x0 => Kind::Data,
            0x1 => Kind::Headers,
            0x3 => Kind::Reset,
            0x9 => Kind::Continuation,
            _ => Kind::Other,
        };
        let length = usize::from(l1) << 16 | usize::from(l2) << 8 | usize::from(l3);
        let stream = u32::from_be_bytes([s1, s2, s3, s4]) & 0x7fff_ffff;
        Self { kind, stream, length, flags, bytes }
    }
}

/// A piece of a stream of frames.
pub(super) enum Piece<'a> {
    /// A frame begins.
    Head(Head),
    /// Bytes of a frame, and how many of it are left then.
    Payload(Head, &'a [u8], usize),
}

/// Takes a stream of frames apart, whatever pieces it comes in.
#[derive(Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    read: usize,
    /// The frame that is under way, and how many bytes of it are to come.
    under_way: Option<(Head, usize)>,
}

impl Frames {
    /// Whether the last frame is whole, and no other has begun.
    pub(super) fn are_whole(&self) -> bool {
        self.read == 0 && self.under_way.is_none()
    }

    /// The next piece of these bytes, which are shortened by it; `None` where they end within a head.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Piece<'a>> {
        if let Some((head, left)) = self.under_way {
            let (payload, rest) = bytes.split_at(left.min(bytes.len()));
            if payload.is_empty() {
                return None;
            }
            *bytes = rest;
            let left = left - payload.len();
            self.under_way = (left > 0).then_some((head, left));
            return Some(Piece::Payload(head, payload, left));
        }
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if let Some(to) = self.head.get_mut(self.read) {
                *to = *byte;
            }
            self.read += 1;
            if self.read == HEAD {
                self.read = 0;
                let head = Head::parse(self.head);
                self.under_way = (head.length > 0).then_some((head, head.length));
                return Some(Piece::Head(head));
            }
        }
        None
    }
}

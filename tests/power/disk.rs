//! A disk that records every write and flush: its bytes, and the log of these events in their order.

use std::sync::Arc;

/// How many bytes the disk has.
pub const SIZE: u64 = 384 << 20;
/// The size of a block in bytes. File systems, and this test, assume that a disk writes a block whole or not at all.
pub const BLOCK: usize = 4096;

/// The bytes of a disk. A copy shares its blocks with the original, so that one disk makes many images.
#[derive(Clone)]
pub struct Content(Vec<Option<Arc<[u8; BLOCK]>>>);

/// One event on a disk.
pub enum Event {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// The writes before it survive a power loss.
    Flush,
}

impl Event {
    /// How many bytes it writes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Write { bytes, .. } => bytes.len() as u64,
            Self::Flush => 0,
        }
    }
}

/// A disk in use: its bytes, and the log of all events since it was mounted.
pub struct Disk {
    pub content: Content,
    pub log: Vec<Event>,
}

impl Content {
    pub fn zeros() -> Self {
        Self(vec![None; SIZE as usize / BLOCK])
    }

    pub fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        for (block, within) in spans(offset, length) {
            match &self.0[block] {
                Some(held) => bytes.extend_from_slice(&held[within]),
                None => bytes.resize(bytes.len() + within.len(), 0),
            }
        }
        bytes
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut rest = bytes;
        for (block, within) in spans(offset, bytes.len()) {
            let (now, later) = rest.split_at(within.len());
            rest = later;
            // A block that was never written is zeros too, and needs no memory.
            if self.0[block].is_none() && now.iter().all(|byte| *byte == 0) {
                continue;
            }
            let held = self.0[block].get_or_insert_with(|| Arc::new([0; BLOCK]));
            Arc::make_mut(held)[within].copy_from_slice(now);
        }
    }

    /// The blocks that are not all zeros, each with its offset.
    pub fn written(&self) -> impl Iterator<Item = (u64, &[u8; BLOCK])> {
        self.0.iter().enumerate().filter_map(|(at, held)| Some(((at * BLOCK) as u64, &**held.as_ref()?)))
    }
}

impl Disk {
    pub fn new(content: Content) -> Self {
        Self { content, log: Vec::new() }
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.content.write(offset, bytes);
        self.log.push(Event::Write { offset, bytes: bytes.to_vec() });
    }

    pub fn flush(&mut self) {
        self.log.push(Event::Flush);
    }
}

/// The blocks that a range touches, each with the part of the block that lies in the range.
fn spans(offset: u64, length: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let (start, end) = (offset as usize, offset as usize + length);
    (start / BLOCK..end.div_ceil(BLOCK)).map(move |block| {
        let first = block * BLOCK;
        (block, start.saturating_sub(first)..(end - first).min(BLOCK))
    })
}

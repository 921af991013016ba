//! Images of a disk that lost power: all writes up to the last flush, and only some of the writes after it.

use super::disk::{Content, Event};
use super::history::{Expected, Note, What};
use super::workload::Random;

/// The log of a disk, and the notes of the machine that used it.
pub struct Recording {
    pub before: Content,
    pub log: Vec<Event>,
    pub notes: Vec<Note>,
    /// The state that the disk had to hold before.
    pub expected: Expected,
}

pub struct Image {
    pub content: Content,
    pub expected: Expected,
    /// When the power failed and which writes were lost, for people to read.
    pub how: String,
}

/// Ways to lose the writes after the last flush. Each unit of so many bytes survives with a chance of so many in ten:
/// (chance, unit).
const LOSSES: [(u64, usize); 7] =
    [(0, 4096), (10, 4096), (5, 4096), (5, 4096), (5, 512), (1, 4096), (9, 512)];

impl Recording {
    /// Images of crashes: around an acknowledgement, while a store is opened, and anywhere in the log. The last kind is
    /// chosen by bytes and by events, because a choice by events alone would rarely hit a large write.
    pub fn images(&self, count: usize, random: &mut Random) -> Vec<Image> {
        let marks: Vec<_> =
            self.notes.iter().filter(|note| note.what != What::Submitted).map(|note| note.at).collect();
        let openings = self.openings();
        let length = self.log.len() as u64;
        let mut pick = |number: usize| match number % 4 {
            0 => (marks[random.below(marks.len() as u64) as usize] + random.below(4)).saturating_sub(2),
            1 => {
                let (from, to) = openings[random.below(openings.len() as u64) as usize];
                from + random.below(to - from + 10) // and the first commits
            }
            2 => self.event_at(random.below(self.bytes())),
            _ => random.below(length + 1),
        };
        let mut ends: Vec<_> = (0..count).map(|number| pick(number).min(length)).collect();
        ends.sort_unstable();

        let mut flushed = self.before.clone();
        let mut from = 0;
        let mut images = Vec::new();
        for end in ends {
            let last = self.last_flush(end as usize);
            self.writes(from, last).for_each(|(offset, bytes)| flushed.write(offset, bytes));
            from = from.max(last);
            images.push(self.image(end, flushed.clone(), from, random));
        }
        images
    }

    /// The parts of the log in which a store was opened: from the last note of one run to the first of the next.
    fn openings(&self) -> Vec<(u64, u64)> {
        let mut before = 0;
        let mut openings = Vec::new();
        for note in &self.notes {
            if note.what == What::Found && note.writer == 0 {
                openings.push((before, note.at));
            }
            before = note.at;
        }
        openings
    }

    fn bytes(&self) -> u64 {
        self.log.iter().map(Event::bytes).sum()
    }

    /// The event that writes a byte. The byte is given by the number of bytes written before it.
    fn event_at(&self, mut byte: u64) -> u64 {
        let before = self.log.iter().take_while(|event| {
            let goes_on = byte >= event.bytes();
            byte = byte.saturating_sub(event.bytes());
            goes_on
        });
        before.count() as u64
    }

    /// The length of the part of the log that surely survives a crash at `end`.
    fn last_flush(&self, end: usize) -> usize {
        self.log[..end].iter().rposition(|event| matches!(event, Event::Flush)).map_or(0, |flush| flush + 1)
    }

    fn writes(&self, from: usize, to: usize) -> impl Iterator<Item = (u64, &[u8])> {
        self.log[from.min(to)..to].iter().filter_map(|event| match event {
            Event::Write { offset, bytes } => Some((*offset, bytes.as_slice())),
            Event::Flush => None,
        })
    }

    fn image(&self, end: u64, flushed: Content, from: usize, random: &mut Random) -> Image {
        let (stays, unit) = LOSSES[random.below(LOSSES.len() as u64) as usize];
        let mut content = flushed;
        let mut unsure = 0;
        for (offset, bytes) in self.writes(from, end as usize) {
            for (number, piece) in bytes.chunks(unit).enumerate() {
                unsure += 1;
                if random.below(10) < stays {
                    content.write(offset + (number * unit) as u64, piece);
                }
            }
        }
        let how = format!(
            "cut at {end} of {}, flushed up to {from}, of {unsure} later pieces of {unit} bytes {stays} in ten stay",
            self.log.len()
        );
        Image { content, expected: self.expected.after(&self.notes, end), how }
    }

    /// The most bytes that were written between two flushes. The zeros with which sled clears a segment do not count.
    pub fn most_at_once(&self) -> u64 {
        let is_zeros = |event: &Event| matches!(event, Event::Write { bytes, .. } if bytes.iter().all(|byte| *byte == 0));
        let between = self.log.split(|event| matches!(event, Event::Flush));
        let bytes =
            between.map(|events| events.iter().filter(|event| !is_zeros(event)).map(Event::bytes).sum());
        bytes.max().unwrap_or(0)
    }

    /// The image of a crash at `end` that loses every write that was not flushed.
    pub fn worst_at(&self, end: u64) -> Content {
        let mut content = self.before.clone();
        self.writes(0, self.last_flush(end as usize))
            .for_each(|(offset, bytes)| content.write(offset, bytes));
        content
    }
}

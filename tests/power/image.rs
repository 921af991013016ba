//! Images of a disk that lost power: everything up to the last flush, and of what was written after it only some.

use super::disk::{Content, Event};
use super::history::{Expected, Note, What};
use super::workload::Random;

/// What was done to a disk, and what the machine that did it noted.
pub struct Recording {
    pub before: Content,
    pub log: Vec<Event>,
    pub notes: Vec<Note>,
    /// What had to be on the disk before.
    pub expected: Expected,
}

pub struct Image {
    pub content: Content,
    pub expected: Expected,
    /// When the power went, and what was lost, for people.
    pub how: String,
}

/// What becomes of the writes after the last flush: each unit of them stays with a chance of so many in ten.
const LOSSES: [(u64, usize); 7] =
    [(0, 4096), (10, 4096), (5, 4096), (5, 4096), (5, 512), (1, 4096), (9, 512)];

impl Recording {
    /// Images of crashes: around an acknowledgement, while a store is opened, and anywhere in the log, by bytes and by
    /// events, since what is lost in a large write is rare among small ones.
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

    /// Where in the log stores were opened: from the last note of one life to the first of the next.
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

    /// The event that writes a byte, by how many are written before it.
    fn event_at(&self, mut byte: u64) -> u64 {
        let before = self.log.iter().take_while(|event| {
            let goes_on = byte >= event.bytes();
            byte = byte.saturating_sub(event.bytes());
            goes_on
        });
        before.count() as u64
    }

    /// How much of the log a crash at `end` leaves for sure.
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

    /// The most bytes that were written between two flushes, without the zeros with which sled clears a segment.
    pub fn most_at_once(&self) -> u64 {
        let is_zeros = |event: &Event| matches!(event, Event::Write { bytes, .. } if bytes.iter().all(|byte| *byte == 0));
        let between = self.log.split(|event| matches!(event, Event::Flush));
        let bytes =
            between.map(|events| events.iter().filter(|event| !is_zeros(event)).map(Event::bytes).sum());
        bytes.max().unwrap_or(0)
    }

    /// The image of a crash right here that loses all it can.
    pub fn worst_at(&self, end: u64) -> Content {
        let mut content = self.before.clone();
        self.writes(0, self.last_flush(end as usize))
            .for_each(|(offset, bytes)| content.write(offset, bytes));
        content
    }
}

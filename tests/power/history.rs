//! The notes that a machine makes while its disk is recorded, and the state that an image of the disk must hold by them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// An event in the life of a writer's change. `at` is a position in the disk's log: a submission came no earlier than it,
/// an acknowledgement no later.
#[derive(Clone, Copy)]
pub struct Note {
    pub at: u64,
    pub writer: usize,
    pub change: u64,
    pub revision: u64,
    pub what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    Submitted,
    Acknowledged,
    /// A store was opened and had this change as the writer's last. Readers may see it from then on.
    Found,
}

/// The state that must be found: of each writer, a number of changes within its bounds; and at least this revision.
#[derive(Clone)]
pub struct Expected {
    pub writers: Vec<(u64, u64)>,
    pub revision: u64,
}

impl Expected {
    pub fn nothing(writers: usize) -> Self {
        Self { writers: vec![(0, 0); writers], revision: 0 }
    }

    /// The state that must be found if the log ends at `at`. `self` is the state that had to be found at its beginning.
    pub fn after(&self, notes: &[Note], at: u64) -> Self {
        let mut expected = self.clone();
        for note in notes.iter().filter(|note| note.at <= at) {
            let (least, most) = &mut expected.writers[note.writer];
            match note.what {
                What::Submitted => *most = note.change,
                What::Acknowledged => *least = note.change,
                What::Found => (*least, *most) = (note.change, note.change),
            }
            if note.what != What::Submitted {
                expected.revision = expected.revision.max(note.revision);
            }
        }
        expected
    }

    /// How many changes must be found.
    pub fn acknowledged(&self) -> u64 {
        self.writers.iter().map(|(least, _)| least).sum()
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.revision)?;
        self.writers.iter().try_for_each(|(least, most)| write!(f, " {least} {most}"))
    }
}

impl FromStr for Expected {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let writers = numbers[1..].chunks(2).map(|bounds| (bounds[0], bounds[1])).collect();
        Ok(Self { writers, revision: numbers[0] })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Submitted => "submitted",
            What::Acknowledged => "acknowledged",
            What::Found => "found",
        };
        write!(f, "{what} {} {} {} {}", self.at, self.writer, self.change, self.revision)
    }
}

/// The notes of a machine, in the order of the log. A line that a kill cut short does not count.
pub fn read(lines: &[String]) -> Vec<Note> {
    let mut notes: Vec<_> = lines.iter().filter_map(|line| note(line)).collect();
    notes.sort_by_key(|note| note.at);
    notes
}

fn note(line: &str) -> Option<Note> {
    let mut words = line.split(' ');
    let what = match words.next()? {
        "submitted" => What::Submitted,
        "acknowledged" => What::Acknowledged,
        "found" => What::Found,
        _ => return None,
    };
    let mut number = || words.next()?.parse().ok();
    Some(Note { what, at: number()?, writer: number()? as usize, change: number()?, revision: number()? })
}

/// Keys and their values, as a store holds them.
pub type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

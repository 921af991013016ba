//! What a machine does with its disk: live on it, writing, or say whether an image of it holds what it must.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process;

use super::history::{self, Expected, Note, Stored, What};
use super::machine;
use super::scenario::{self, Scenario};
use super::subject::{self, Subject};
use super::workload::Writer;

pub const TASK: &str = "STRONGROOM_POWER_TASK";
pub const SCENARIO: &str = "STRONGROOM_POWER_SCENARIO";
pub const SEED: &str = "STRONGROOM_POWER_MACHINE_SEED";
pub const EXPECTED: &str = "STRONGROOM_POWER_EXPECTED";

/// Does what the environment says. Outside of a machine that is nothing.
pub fn lead() {
    let Some(place) = machine::place() else { return };
    let told = |name: &str| std::env::var(name).unwrap();
    let life = Life {
        folder: place.join("files/data"),
        disk: place.join("disk"),
        notes_at: place.join("notes"),
        notes: OpenOptions::new().append(true).open(place.join("notes")).unwrap(),
        scenario: scenario::named(&told(SCENARIO)),
        seed: told(SEED).parse().unwrap(),
    };
    let expected = told(EXPECTED).parse().unwrap();
    match told(TASK).as_str() {
        "write" => life.write(&expected, false),
        "killed" => life.write(&expected, true),
        "check" => life.check(&expected),
        "probe" => life.probe(),
        _ => life.look(),
    }
}

struct Life {
    folder: PathBuf,
    disk: PathBuf,
    notes_at: PathBuf,
    notes: File,
    scenario: Scenario,
    seed: u64,
}

impl Life {
    /// Opens the store, and lets every writer go on from where it finds itself. A killed life ends with its first writer,
    /// whatever the others are doing, as with kill -9: the kernel has what was written, but nothing says that the disk has.
    fn write(&self, before: &Expected, killed: bool) {
        let store = subject::open(self.scenario.control, &self.folder);
        let notes = fs::read_to_string(&self.notes_at).unwrap(); // of the lives before this one on the same disk
        let notes = history::read(&notes.lines().map(str::to_owned).collect::<Vec<_>>());
        let writers =
            self.found(&*store, &before.after(&notes, u64::MAX)).unwrap_or_else(|why| panic!("{why}"));
        for writer in &writers {
            self.note(What::Found, writer.0, writer.1.made, store.revision());
        }
        std::thread::scope(|threads| {
            for (number, mut writer) in writers {
                let store = &store;
                threads.spawn(move || {
                    for _ in 0..self.scenario.shape.changes {
                        let step = writer.step();
                        self.note(What::Submitted, number, writer.made, 0);
                        let revision = store.commit(step);
                        self.note(What::Acknowledged, number, writer.made, revision);
                    }
                    if killed {
                        process::exit(0);
                    }
                });
            }
        });
        store.close();
    }

    /// Opens the store and compares it with what must be there, makes one more change, and finds all that again after
    /// another restart.
    fn check(&self, expected: &Expected) {
        let store = subject::open(self.scenario.control, &self.folder);
        let mut writers = self.found(&*store, expected).unwrap_or_else(|why| panic!("{why}"));
        let mut after = Expected {
            writers: writers.iter().map(|(_, writer)| (writer.made, writer.made)).collect(),
            revision: store.revision(),
        };
        let revision = store.commit(writers[0].1.step());
        assert!(revision > after.revision, "a new change has revision {revision}, after {}", after.revision);
        store.close();

        after.revision = revision;
        after.writers[0] = (writers[0].1.made, writers[0].1.made);
        let store = subject::open(self.scenario.control, &self.folder);
        self.found(&*store, &after).unwrap_or_else(|why| panic!("after another restart: {why}"));
        store.close();
    }

    /// The writers at where the store has them, or what is wrong with it.
    fn found(&self, store: &dyn Subject, expected: &Expected) -> Result<Vec<(usize, Writer)>, String> {
        if fs::read_dir(self.folder.join("store/blobs")).is_ok_and(|mut files| files.next().is_some()) {
            return Err("it has files in store/blobs, which sled does not sync".to_owned());
        }
        let (mut stored, newest) = store.all();
        let revision = store.revision();
        if revision < expected.revision {
            return Err(format!("it is at revision {revision}, and {} was acknowledged", expected.revision));
        }
        if newest > revision {
            return Err(format!("it is at revision {revision} and holds an entry of {newest}"));
        }
        let mut writers = Vec::new();
        for (number, (least, most)) in expected.writers.iter().enumerate() {
            let behind = stored.split_off(&Writer::prefix(number + 1));
            let own = std::mem::replace(&mut stored, behind);
            writers.push((number, self.writer_at(number, *least, *most, &own)?));
        }
        if !stored.is_empty() {
            return Err(format!("{} keys belong to nobody", stored.len()));
        }
        let changes: u64 = writers.iter().map(|(_, writer)| writer.made).sum();
        if changes != revision {
            return Err(format!("it is at revision {revision} and holds {changes} changes"));
        }
        Ok(writers)
    }

    /// A writer at the change after which exactly this was stored: one that was at least acknowledged, at most submitted.
    fn writer_at(&self, number: usize, least: u64, most: u64, stored: &Stored) -> Result<Writer, String> {
        let mut writer = Writer::new(self.scenario.shape, self.seed, number);
        (0..least).for_each(|_| writer.skip());
        while !writer.is(stored) && writer.made < most {
            writer.skip();
        }
        if writer.is(stored) {
            return Ok(writer);
        }
        let mut earlier = Writer::new(self.scenario.shape, self.seed, number);
        while !earlier.is(stored) && earlier.made < least {
            earlier.skip();
        }
        Err(if earlier.is(stored) {
            format!("LOST: writer {number} is at change {}, and {least} was acknowledged", earlier.made)
        } else {
            let keys = stored.len();
            format!(
                "MIXED: the {keys} keys of writer {number} are no state of changes {least} to {most}, nor an earlier one"
            )
        })
    }

    /// Writes a file, with a sync behind the first half only.
    fn probe(&self) {
        let mut file = File::create(&self.folder).unwrap();
        for what in [What::Submitted, What::Acknowledged] {
            file.write_all(&[b'x'; 100_000]).unwrap();
            self.note(what, 0, 0, 0);
            file.sync_data().unwrap();
            self.note(what, 0, 1, 0);
        }
    }

    /// Notes how long that file is.
    fn look(&self) {
        let length = fs::metadata(&self.folder).map_or(0, |file| file.len());
        writeln!(&self.notes, "{length}").unwrap();
    }

    fn note(&self, what: What, writer: usize, change: u64, revision: u64) {
        // See fuse.rs: the disk's time of modification is the length of its log.
        let at = fs::metadata(&self.disk).unwrap().mtime() as u64;
        let note = Note { at, writer, change, revision, what };
        (&self.notes).write_all(format!("{note}\n").as_bytes()).unwrap();
    }
}

//! The tasks of a machine: write to a store on its disk, or check whether an image of the disk holds the state it must.

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

/// Runs the task that the environment names. Outside of a machine it does nothing.
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
    /// Opens the store and lets every writer continue from the state it finds. A killed run ends as soon as its first writer
    /// is done, in the middle of the others' work, as with kill -9: the kernel has the writes, but the disk may not.
    fn write(&self, before: &Expected, killed: bool) {
        let store = subject::open(self.scenario.control, &self.folder);
        let notes = fs::read_to_string(&self.notes_at).unwrap(); // of the earlier runs on the same disk
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

    /// Opens the store and compares it with the state that must be there. Then makes one more change, opens the store
    /// again and compares again.
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

    /// The writers in the state that the store holds, or what is wrong with the store.
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
            return Err(format!("{} keys belong to no writer", stored.len()));
        }
        let changes: u64 = writers.iter().map(|(_, writer)| writer.made).sum();
        if changes != revision {
            return Err(format!("it is at revision {revision} and holds {changes} changes"));
        }
        Ok(writers)
    }

    /// A writer at the change after which exactly this was stored. The change lies between the last acknowledged one and
    /// the last submitted one.
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

    /// Writes a file in two halves, with a sync after each.
    fn probe(&self) {
        let mut file = File::create(&self.folder).unwrap();
        for what in [What::Submitted, What::Acknowledged] {
            file.write_all(&[b'x'; 100_000]).unwrap();
            self.note(what, 0, 0, 0);
            file.sync_data().unwrap();
            self.note(what, 0, 1, 0);
        }
    }

    /// Notes the length of the file that `probe` wrote.
    fn look(&self) {
        let length = fs::metadata(&self.folder).map_or(0, |file| file.len());
        writeln!(&self.notes, "{length}").unwrap();
    }

    fn note(&self, what: What, writer: usize, change: u64, revision: u64) {
        // See fuse.rs: the disk's modification time is the length of its log.
        let at = fs::metadata(&self.disk).unwrap().mtime() as u64;
        let note = Note { at, writer, change, revision, what };
        (&self.notes).write_all(format!("{note}\n").as_bytes()).unwrap();
    }
}

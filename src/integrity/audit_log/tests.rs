//! Every way to alter a log is found, with its place; and a log goes on after a crash.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use tempfile::TempDir;

use super::log::{Log, LogError};
use super::verify::{Expected, Verified, VerifyError, verify};
use super::*;
use crate::audit::RecordLog as _;
use crate::config::{AuditNames, AuditSettings};

/// A log of three files, of which the last is not full. Each record has its number.
struct Sample {
    folder: TempDir,
    /// A checkpoint in the middle of the second file.
    older: String,
}

const RECORD: usize = 64;
const SMALL: AuditSettings = AuditSettings {
    file_size: ByteSize(10 * RECORD as u64),
    file_age: std::time::Duration::from_secs(3600),
    retention: None,
    max_size: None,
    stderr: crate::config::AuditStderr::Off,
    names: AuditNames::Plain,
};

fn record(number: u64) -> Vec<u8> {
    let mut line = format!("{{\"time\":\"{number:040}\"}}").into_bytes();
    line.resize(RECORD - 1, b' ');
    line.push(b'\n');
    line
}

fn append(log: &mut Log, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        log.append(&record(number)).unwrap();
        log.rotate_if_due().unwrap();
    }
    log.sync().unwrap();
}

impl Sample {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path().to_owned(), SMALL).unwrap();
        append(&mut log, 0..15);
        let older = log.key().sign(&log.synced()).unwrap();
        append(&mut log, 15..25);
        log.write_checkpoint().unwrap();
        Self { folder, older }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, first: u64) -> PathBuf {
        self.path().join(format!("{first:020}.jsonl"))
    }

    fn verify(&self) -> Result<Verified, VerifyError> {
        verify(self.path(), &Expected { checkpoint: Some(self.older.clone()), ..Expected::default() })
    }

    fn open(&self) -> Result<Log, LogError> {
        Log::open(self.path().to_owned(), SMALL)
    }

    /// The first broken place.
    #[track_caller]
    fn breach(&self) -> (String, Option<u64>, String) {
        match self.verify() {
            Err(VerifyError::Broken(breach)) => {
                let file = breach.file.file_name().unwrap().to_str().unwrap().to_owned();
                (file, breach.line, breach.problem)
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn assert_breach(&self, first: u64, line: u64, problem: &str) {
        let (file, at, found) = self.breach();
        assert_eq!((file, at), (format!("{first:020}.jsonl"), Some(line)), "{found}");
        assert!(found.contains(problem), "{found}");
    }

    fn lines(&self, first: u64) -> Vec<String> {
        fs::read_to_string(self.file(first)).unwrap().lines().map(str::to_owned).collect()
    }

    fn write_lines(&self, first: u64, lines: &[String]) {
        fs::write(self.file(first), lines.iter().map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
    }
}

#[test]
fn a_log_that_nobody_touched_is_verified_also_against_an_older_checkpoint() {
    let sample = Sample::new();
    let verified = sample.verify().unwrap();
    assert_eq!((verified.head.size, verified.signed, verified.first, verified.files), (25, 25, 0, 3));
    assert!(!verified.unfinished);
    assert_eq!(sample.open().unwrap().synced(), verified.head);
    let other = Sample::new();
    let expected = Expected { checkpoint: Some(other.older), ..Expected::default() };
    assert!(matches!(verify(sample.path(), &expected), Err(VerifyError::Checkpoint(NoteError::OtherKey))));
}

#[test]
fn one_byte_that_changed_is_found_with_its_line_wherever_it_is() {
    for number in 0..25_u64 {
        let sample = Sample::new();
        let first = number / 10 * 10;
        let file = fs::OpenOptions::new().write(true).open(sample.file(first)).unwrap();
        file.write_all_at(b"9", (number - first) * RECORD as u64 + 20).unwrap();
        sample.assert_breach(first, number - first + 1, "it was altered");
        assert_eq!(sample.open().is_err(), first == 20, "the file that is written to is read at the start");
    }
}

#[test]
fn a_byte_that_changed_together_with_its_hash_is_found_in_its_file() {
    let sample = Sample::new();
    let file = fs::OpenOptions::new().write(true).open(sample.file(10)).unwrap();
    file.write_all_at(b"9", 20).unwrap();
    let line = sample.lines(10).remove(0);
    let hashes = fs::OpenOptions::new().write(true).open(sample.path().join("hashes-0")).unwrap();
    hashes.write_all_at(&leaf_hash(line.as_bytes()), 10 * 32).unwrap();
    let (file, _, problem) = sample.breach();
    assert_eq!(file, "00000000000000000010.jsonl");
    assert!(problem.contains("and its hash too") && problem.contains("10 to 14"), "{problem}");
}

#[test]
fn a_hash_that_changed_alone_is_told_from_a_record() {
    let sample = Sample::new();
    let hashes = fs::OpenOptions::new().write(true).open(sample.path().join("hashes-0")).unwrap();
    hashes.write_all_at(&[7; 32], 3 * 32).unwrap();
    let (file, _, problem) = sample.breach();
    assert_eq!(file, "hashes-0", "{problem}");
}

#[test]
fn a_record_that_was_removed_is_found_with_its_line() {
    let sample = Sample::new();
    let mut lines = sample.lines(10);
    lines.remove(3);
    sample.write_lines(10, &lines);
    sample.assert_breach(10, 4, "a record was removed before it");
}

#[test]
fn a_record_that_was_inserted_is_found_with_its_line() {
    let sample = Sample::new();
    let mut lines = sample.lines(0);
    lines.insert(3, "{}".to_owned());
    sample.write_lines(0, &lines);
    sample.assert_breach(0, 4, "altered");
}

#[test]
fn two_records_that_were_swapped_are_found_with_their_line() {
    let sample = Sample::new();
    let mut lines = sample.lines(20);
    lines.swap(1, 2);
    sample.write_lines(20, &lines);
    sample.assert_breach(20, 2, "two were swapped");
    assert!(matches!(sample.open(), Err(LogError::Broken(_))));
}

#[test]
fn a_tail_that_was_cut_is_found_also_where_a_whole_file_went_with_it() {
    let sample = Sample::new();
    let lines = sample.lines(20);
    sample.write_lines(20, &lines[..2]);
    sample.assert_breach(20, 2, "the last 3 were cut off");
    assert!(matches!(sample.open(), Err(LogError::Broken(_))));
    fs::remove_file(sample.file(20)).unwrap();
    let (file, _, problem) = sample.breach();
    assert_eq!(file, "00000000000000000020.jsonl");
    assert!(problem.contains("missing"), "{problem}");
    assert!(matches!(sample.open(), Err(LogError::Broken(_))));
    // Somebody who cuts the newest checkpoint too meets the older one that was kept elsewhere.
    let lines = sample.lines(10);
    sample.write_lines(10, &lines[..3]);
    fs::remove_file(sample.path().join("checkpoint")).unwrap();
    fs::remove_file(sample.path().join("00000000000000000020.checkpoint")).unwrap();
    sample.assert_breach(10, 3, "the given checkpoint vouches for 15");
}

#[test]
fn a_file_that_was_removed_is_found_by_its_name() {
    for first in [0, 10] {
        let sample = Sample::new();
        fs::remove_file(sample.file(first)).unwrap();
        let (file, _, problem) = sample.breach();
        assert_eq!(file, format!("{first:020}.jsonl"), "{problem}");
        assert!(problem.contains("missing"), "{problem}");
    }
    let sample = Sample::new();
    fs::remove_file(sample.file(10)).unwrap();
    assert!(matches!(sample.open(), Err(LogError::Broken(_))));
}

#[test]
fn the_end_of_a_file_in_the_middle_that_was_cut_is_found() {
    let sample = Sample::new();
    let lines = sample.lines(10);
    sample.write_lines(10, &lines[..7]);
    sample.assert_breach(10, 7, "3 more records were written");
}

#[test]
fn a_line_without_an_end_is_found_before_it_fills_the_memory() {
    let sample = Sample::new();
    fs::OpenOptions::new().write(true).open(sample.file(20)).unwrap().set_len(1 << 33).unwrap();
    sample.assert_breach(20, 6, "longer than a record can be");
}

#[test]
fn checkpoints_that_do_not_count_are_found() {
    let sample = Sample::new();
    fs::write(sample.path().join("checkpoint"), "").unwrap();
    assert_eq!(sample.breach().0, "checkpoint");
    assert!(sample.open().is_err());
    // A checkpoint of the same log and size with another root: the log was written again by somebody who has the key.
    let sample = Sample::new();
    let key = LogKey::parse(fs::read_to_string(sample.path().join("log.key")).unwrap().trim()).unwrap();
    let forged = key.sign(&TreeHead { size: 15, root: [7; 32] }).unwrap();
    let expected = Expected { checkpoint: Some(forged), ..Expected::default() };
    assert!(matches!(verify(sample.path(), &expected), Err(VerifyError::Broken(_))));
}

#[test]
fn a_log_without_its_checkpoint_is_not_verified_whatever_became_of_its_records() {
    let missing = |sample: &Sample, expected: &Expected| match verify(sample.path(), expected) {
        Err(VerifyError::NoCheckpoint(unsigned)) => (unsigned.signed, unsigned.records),
        other => panic!("{other:?}"),
    };
    let alone = Expected::default();
    for cut in [5, 2, 0] {
        let sample = Sample::new();
        fs::remove_file(sample.path().join("checkpoint")).unwrap();
        for level in 0..5 {
            fs::remove_file(sample.path().join(format!("hashes-{level}"))).unwrap();
        }
        let lines = sample.lines(20);
        sample.write_lines(20, &lines[..cut]);
        // The checkpoints at the ends of files are still there.
        assert_eq!(missing(&sample, &alone), (20, 20 + cut as u64));
    }
    // A log of one file, as a server has that was just set up.
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path().to_owned(), SMALL).unwrap();
    append(&mut log, 0..3);
    let sample = Sample { folder, older: log.key().sign(&log.synced()).unwrap() };
    assert_eq!(missing(&sample, &alone), (0, 3));
    let older = Expected { checkpoint: Some(sample.older.clone()), ..Expected::default() };
    assert_eq!(missing(&sample, &older), (3, 3));
    // A server remembers the tree. And it starts where it was killed before it had signed one.
    let head = Expected { head: Some(log.synced()), ..Expected::default() };
    assert_eq!(verify(sample.path(), &head).unwrap().head.size, 3);
    drop(log);
    let mut log = sample.open().unwrap();
    log.write_checkpoint().unwrap();
    assert_eq!(sample.verify().unwrap().signed, 3);
}

#[test]
fn a_line_that_a_crash_left_unfinished_is_cut_off_and_the_log_goes_on() {
    let sample = Sample::new();
    let file = fs::OpenOptions::new().append(true).open(sample.file(20)).unwrap();
    std::io::Write::write_all(&mut &file, b"{\"time\":").unwrap();
    assert!(sample.verify().unwrap().unfinished);
    let mut log = sample.open().unwrap();
    append(&mut log, 25..43);
    let verified = sample.verify().unwrap();
    assert_eq!((verified.head.size, verified.files, verified.unfinished), (43, 5, false));
    // Hashes that were not synced are made again.
    drop(log);
    let hashes = fs::OpenOptions::new().write(true).open(sample.path().join("hashes-0")).unwrap();
    hashes.set_len(43 * 32 - 5).unwrap();
    let mut log = sample.open().unwrap();
    append(&mut log, 43..45);
    assert_eq!(sample.verify().unwrap().head.size, 45);
}

#[test]
fn what_a_failed_sync_has_lost_is_written_before_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path().to_owned(), SMALL).unwrap();
    append(&mut log, 0..2);
    for number in 2..5 {
        log.append(&record(number)).unwrap();
    }
    // As after a sync that failed, and a failure to write again what it had to make durable.
    log.forget_unsynced();
    log.append(&record(5)).unwrap();
    log.sync().unwrap();
    log.write_checkpoint().unwrap();
    assert!(!log.is_unsynced());
    drop(log);
    let text = fs::read(folder.path().join(format!("{:020}.jsonl", 0))).unwrap();
    let all: Vec<u8> = (0..6).flat_map(record).collect();
    assert!(text.ends_with(&all), "a record is missing, or twice there");
    assert!(verify(folder.path(), &Expected::default()).is_ok());
}

#[test]
fn a_crash_between_two_files_is_no_breach() {
    let sample = Sample::new();
    for _ in 0..2 {
        // The file that comes after the checkpoint was not made yet.
        let mut log = sample.open().unwrap();
        append(&mut log, 0..5);
        drop(log);
        let last = *folder::Folder::new(sample.path().to_owned()).list().unwrap().records.last().unwrap();
        assert_eq!(
            fs::metadata(sample.file(last)).unwrap().len(),
            0,
            "the last file is full, and the next one empty"
        );
        fs::remove_file(sample.file(last)).unwrap();
        append(&mut sample.open().unwrap(), 0..5);
        sample.verify().unwrap();
    }
}

#[test]
fn files_whose_retention_is_over_go_and_the_log_is_still_verified() {
    let sample = Sample::new();
    let settings = AuditSettings { max_size: Some(ByteSize(12 * RECORD as u64)), ..SMALL };
    let mut log = Log::open(sample.path().to_owned(), settings).unwrap();
    assert_eq!(log.remove_expired().unwrap(), [sample.file(0), sample.file(10)]);
    append(&mut log, 26..30);
    log.write_checkpoint().unwrap();
    drop(log);
    // The older checkpoint is of records whose file is gone.
    let verified = sample.verify().unwrap();
    assert_eq!((verified.head.size, verified.first, verified.files), (30, 20, 2));
    sample.open().unwrap();
    // The hashes of the records that are gone are vouched for, too.
    let hashes = fs::OpenOptions::new().write(true).open(sample.path().join("hashes-0")).unwrap();
    hashes.write_all_at(&[7; 32], 3 * 32).unwrap();
    assert_eq!(sample.breach().0, "hashes-0");
}

#[test]
fn what_something_else_does_to_the_file_is_noticed_before_the_next_record() {
    let sample = Sample::new();
    let mut log = sample.open().unwrap();
    let (file, kept) = (sample.file(20), sample.path().join("kept"));
    fs::copy(&file, &kept).unwrap();
    append(&mut log, [25]);
    let now = fs::read(&file).unwrap();

    fs::remove_file(&file).unwrap();
    assert!(matches!(log.append(&record(26)), Err(LogError::Broken(_))), "the file was removed");
    fs::copy(&kept, &file).unwrap();
    assert!(matches!(log.append(&record(26)), Err(LogError::Broken(_))), "an older copy was put back");
    fs::write(&file, [now.as_slice(), b"{}\n"].concat()).unwrap();
    assert!(matches!(log.append(&record(26)), Err(LogError::Broken(_))), "the file became longer");
    let mut altered = now.clone();
    altered[20] ^= 1;
    fs::write(&file, &altered).unwrap();
    assert!(matches!(log.append(&record(26)), Err(LogError::Broken(_))), "the file was altered in place");
    // The file as it was is as good as the file.
    fs::write(&file, &now).unwrap();
    log.append(&record(26)).unwrap();
    log.sync().unwrap();
    assert_eq!(sample.verify().unwrap().head.size, 27);
}

#[tokio::test]
async fn a_log_that_is_older_than_the_tree_that_somebody_knows_is_refused() {
    let sample = Sample::new();
    let before = sample.open().unwrap().synced();
    let log = AuditLog::open(sample.path(), SMALL, None).unwrap();
    for number in 25..28 {
        log.write(record(number)).await.unwrap();
    }
    let head = *log.synced().wait_for(|head| head.size == 28).await.unwrap();
    log.refuse_older_than(&before, "the store").unwrap();
    log.refuse_older_than(&head, "the store").unwrap();
    let further = TreeHead { size: 29, ..head };
    assert!(log.refuse_older_than(&further, "the store").is_err());
    assert!(log.refuse_older_than(&TreeHead { root: [7; 32], ..before }, "the store").is_err());
}

#[tokio::test]
async fn a_record_that_a_task_writes_becomes_durable() {
    let sample = Sample::new();
    let log = AuditLog::open(sample.path(), SMALL, None).unwrap();
    let size = log.written();
    for number in 0..3 {
        // Once the thread has its turn, it writes the record itself.
        let written = log.add("a", record(number)).unwrap();
        log.write_waiting().tell();
        assert_eq!(written.await, Ok(true));
        log.synced().wait_for(|head| head.size > size + number).await.unwrap();
    }
    drop(log);
    assert_eq!(sample.verify().unwrap().head.size, size + 3);
}

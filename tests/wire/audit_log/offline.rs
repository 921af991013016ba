//! `strongroom audit` on the command line: it verifies the files without a server, and shows records.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;

use super::{folder, settled};
use crate::caller::Caller;
use crate::harness::{Launch, Server};

/// Runs `strongroom audit` with these arguments, as a client of a server where one is given.
pub fn audit(server: Option<&Server>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.arg("audit").args(arguments);
    if let Some(server) = server {
        command.env("STRONGROOM_SERVER", &server.url).env("STRONGROOM_API_KEY", &server.root_key);
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A log of several files, and a checkpoint from before the last ones. The server has ended.
pub struct Sample {
    pub data: PathBuf,
    pub checkpoint: String,
    pub key: String,
    _folder: tempfile::TempDir,
}

impl Sample {
    pub async fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        let data = around.path().join("data");
        let server = Launch::durable(&data).configured("[audit]\nfile_size = '4 KiB'\n").start();
        let root = Caller::root(&server).await;
        root.create("A", "v").await;
        let mut checkpoint = String::new();
        while Self::files_in(&folder(&server)).len() < 4 {
            if checkpoint.is_empty() && Self::files_in(&folder(&server)).len() == 2 {
                settled(&root).await;
                let printed = audit(Some(&server), &["checkpoint"]);
                assert!(printed.status.success(), "{}", text(&printed));
                checkpoint = String::from_utf8(printed.stdout).unwrap();
            }
            root.get("A").await;
        }
        let key = String::from_utf8(audit(Some(&server), &["checkpoint", "--key"]).stdout).unwrap();
        server.stop().await;
        Self { data, checkpoint, key: key.trim().to_owned(), _folder: around }
    }

    fn files_in(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|kind| kind == "jsonl")).collect();
        files.sort();
        files
    }

    fn files(&self) -> Vec<PathBuf> {
        Self::files_in(&self.data.join("audit"))
    }

    fn verify(&self) -> Output {
        let checkpoint = self.data.with_extension("checkpoint");
        fs::write(&checkpoint, &self.checkpoint).unwrap();
        let (data, checkpoint) = (self.data.to_str().unwrap(), checkpoint.to_str().unwrap());
        audit(None, &["verify", "--data-dir", data, "--checkpoint", checkpoint, "--key", &self.key])
    }

    /// Asserts that the log is broken, and that the first broken place is named.
    #[track_caller]
    fn assert_broken(&self, file: &Path, place: &str, problem: &str) {
        let output = self.verify();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("{}{place}", file.display())) && said.contains(problem), "{said}");
    }
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

fn write_lines(file: &Path, lines: &[String]) {
    fs::write(file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[tokio::test]
async fn every_alteration_is_found_with_its_place_without_a_server() {
    let sample = Sample::new().await;
    let output = sample.verify();
    assert!(output.status.success(), "{}", text(&output));
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["verified"], json["files"].as_u64()), (&Json::Bool(true), Some(4)));
    let files = sample.files();

    let original = lines(&files[1]);
    let mut altered = original.clone();
    altered[2] = altered[2].replace("\"ok\"", "\"OK\"");
    assert_ne!(altered, original);
    write_lines(&files[1], &altered);
    sample.assert_broken(&files[1], ", line 3", "it was altered");

    let mut removed = original.clone();
    removed.remove(1);
    write_lines(&files[1], &removed);
    sample.assert_broken(&files[1], ", line 2", "a record was removed before it");

    let mut swapped = original.clone();
    swapped.swap(0, 1);
    write_lines(&files[1], &swapped);
    sample.assert_broken(&files[1], ", line 1", "two were swapped");
    write_lines(&files[1], &original);

    fs::rename(&files[1], files[1].with_extension("aside")).unwrap();
    sample.assert_broken(&files[1], "", "missing");
    fs::rename(files[1].with_extension("aside"), &files[1]).unwrap();

    let last = lines(&files[3]);
    write_lines(&files[3], &last[..last.len() - 1]);
    sample.assert_broken(&files[3], "", "cut off");
    write_lines(&files[3], &last);
    assert!(sample.verify().status.success(), "what was put back is as good as it was");
}

#[tokio::test]
async fn a_log_without_its_checkpoint_is_not_verified() {
    let sample = Sample::new().await;
    let data = sample.data.to_str().unwrap();
    fs::remove_file(sample.data.join("audit/checkpoint")).unwrap();
    let file = sample.files().pop().unwrap();
    let (whole, key) = (lines(&file), sample.key.as_str());
    let cut = [&whole[..], &whole[..whole.len() - 1]];
    for records in cut {
        write_lines(&file, records);
        for arguments in
            [&["verify", "--data-dir", data] as &[_], &["verify", "--data-dir", data, "--key", key]]
        {
            let output = audit(None, arguments);
            assert_eq!(output.status.code(), Some(1), "{}", text(&output));
            let json: Json = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(json["verified"], false);
            assert!(json["problem"].as_str().unwrap().contains("The checkpoint is missing"), "{json}");
        }
        let table = text(&audit(None, &["verify", "--data-dir", data, "-o", "table"]));
        assert!(table.contains("start it once") && !table.contains("as it was written"), "{table}");
    }
}

#[tokio::test]
async fn records_that_were_added_while_the_server_did_not_run_are_named_when_it_starts() {
    let sample = Sample::new().await;
    let events = async || {
        let server = Launch::durable(&sample.data).start();
        let listed = audit(Some(&server), &["list", "--limit", "1000"]);
        server.stop().await;
        let listed = String::from_utf8(listed.stdout).unwrap();
        let records = listed.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        records.filter(|record| record["event"] == "unsigned_records").collect::<Vec<_>>()
    };
    assert_eq!(events().await, [] as [Json; 0], "a server that was stopped has signed all records");

    let verified = || serde_json::from_slice::<Json>(&sample.verify().stdout).unwrap();
    let before = verified()["records"].as_u64().unwrap();
    assert_eq!(verified()["signed_records"], before);
    let file = sample.files().pop().unwrap();
    let mut records = lines(&file);
    let forged = records.last().unwrap().replace("key:", "key:x");
    records.extend([forged.clone(), forged]);
    write_lines(&file, &records);
    assert_eq!(
        (&verified()["signed_records"], &verified()["records"]),
        (&before.into(), &(before + 2).into())
    );
    let data = sample.data.to_str().unwrap();
    let table = text(&audit(None, &["verify", "--data-dir", data, "-o", "table"]));
    assert!(table.contains("2: no checkpoint vouches for them yet"), "{table}");
    assert!(table.contains("the signed records are as they were written"), "{table}");
    assert!(!table.contains("log is as it was written"), "{table}");

    let named = events().await;
    let [event] = &named[..] else { panic!("{named:?}") };
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("the records {before} to {} behind", before + 1)), "{detail}");
    assert_eq!(events().await, named, "the next start finds them signed, and what was said of them");
}

#[tokio::test]
async fn a_log_that_was_written_again_does_not_match_a_checkpoint_or_a_key_kept_elsewhere() {
    let (sample, other) = (Sample::new().await, Sample::new().await);
    fs::remove_dir_all(sample.data.join("audit")).unwrap();
    fs::rename(other.data.join("audit"), sample.data.join("audit")).unwrap();
    let output = sample.verify();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("another key"), "{}", text(&output));
    let data = sample.data.to_str().unwrap();
    assert!(audit(None, &["verify", "--data-dir", data]).status.success(), "by itself it is whole");
    assert_eq!(audit(None, &["verify", "--data-dir", data, "--key", "nonsense"]).status.code(), Some(2));
    assert_eq!(audit(None, &["verify", "--data-dir", "/nowhere"]).status.code(), Some(1));
}

#[tokio::test]
async fn the_list_is_one_object_a_line_and_the_tail_follows() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    root.create("A", "v").await;
    root.get("A").await;
    settled(&root).await;
    let listed = audit(Some(&server), &["list", "--name", "A", "--rpc", "GetSecret"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let [line] = listed.lines().collect::<Vec<_>>()[..] else { panic!("{listed}") };
    let record: Json = serde_json::from_str(line).unwrap();
    assert!(record["index"].is_u64() && record["name"] == "A", "{record}");
    let table = audit(Some(&server), &["list", "--name", "A", "-o", "table"]);
    assert!(text(&table).contains("default/A@1"), "{}", text(&table));
    assert_eq!(audit(Some(&server), &["list", "--since", "soon"]).status.code(), Some(2));

    // A file is not replaced unless that is asked for.
    let folder = tempfile::tempdir().unwrap();
    let (file, other) = (folder.path().join("checkpoint.txt"), folder.path().join("other.txt"));
    let saves = |path: &Path, more: &[&str]| {
        audit(Some(&server), &[&["checkpoint", "--out", path.to_str().unwrap()][..], more].concat())
    };
    fs::write(&file, "earlier").unwrap();
    let refused = saves(&file, &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).contains("checkpoint.txt exists: choose another name, or give --overwrite"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "earlier");
    for (path, more) in [(&other, &[][..]), (&file, &["--overwrite"]), (&other, &["--overwrite", "--key"])] {
        assert!(saves(path, more).status.success());
        assert!(fs::read_to_string(path).unwrap().len() > 40);
    }

    // Where more records match, a note says so, and standard output has the records alone.
    for (more, told) in [
        (
            &["--limit", "1"][..],
            "note: the newest 1 record is shown; --limit N shows more, and --all shows all\n",
        ),
        (
            &["--limit", "2", "--oldest-first"],
            "note: the oldest 2 records are shown; --limit N shows more, and --all shows all\n",
        ),
        (&["--all"], ""),
        (&["--limit", "100"], ""),
    ] {
        for form in ["json", "table"] {
            let listed = audit(Some(&server), &[&["list", "-o", form][..], more].concat());
            assert_eq!(String::from_utf8_lossy(&listed.stderr), told, "{more:?} {form}");
        }
    }

    let mut tail = Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(["audit", "tail", "--name", "A", "--last", "1", "-o", "json"])
        .env("STRONGROOM_SERVER", &server.url)
        .env("STRONGROOM_API_KEY", &server.root_key)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = std::io::BufRead::lines(std::io::BufReader::new(tail.stdout.take().unwrap()));
    let mut next = || serde_json::from_str::<Json>(&shown.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["index"], record["index"]);
    root.get("A").await;
    assert!(next()["index"].as_u64() > record["index"].as_u64());
    tail.kill().unwrap();
    tail.wait().unwrap();
}

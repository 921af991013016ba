//! The parts of the main crate import only from the parts below them, and each foreign crate stays in its place.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test that fails should stop

use std::fs;
use std::path::{Path, PathBuf};

/// The parts from the top to the bottom. Parts on one line do not import each other.
const FLOORS: [&[&str]; 13] = [
    &["main", "fuzzing"],
    &["cli"],
    &["server"],
    &["api"],
    &["app"],
    &["catalog"],
    &["integrity"],
    &["auth", "audit", "reference"],
    &["crypto"],
    &["schema"],
    &["store"],
    &["telemetry", "process", "parallel", "limits", "metrics"],
    &["config", "domain"],
];

#[test]
fn floors_import_downward_only() {
    let mut upward = Vec::new();
    let mut edges = 0;
    for file in rust_files(Path::new("src")) {
        let from = floor_of(&file);
        if from == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for to in imports(&text) {
            edges += 1;
            if from != to && level(&to) <= level(&from) {
                upward.push(format!("{} imports crate::{to}", file.display()));
            }
        }
    }
    assert!(edges > 50, "only {edges} imports were found: does the test still read them?");
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

/// Only these files use these crates: the types of an engine, of the cryptography or of the wire stay in one place.
#[test]
fn crates_stay_in_their_place() {
    let places: [(&str, &[&str]); 7] = [
        ("ring::", &["src/crypto/aead.rs", "src/crypto/key_pair.rs", "src/crypto/token_signature.rs"]),
        ("sled::", &["src/store/embedded/"]),
        ("etcd_client::", &["src/store/etcd/"]),
        // The crate of etcd's client returns tonic's statuses.
        (
            "tonic",
            &["src/api/", "src/server/", "src/store/etcd/failure.rs", "src/telemetry/traces/export.rs"],
        ),
        ("strongroom_client::", &["src/api/strongroom_v1/proto.rs", "src/cli/"]),
        ("prometheus_client::", &["src/server/metrics/"]),
        ("SystemTime::now", &["src/domain/clock.rs"]),
    ];
    for file in rust_files(Path::new("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (krate, allowed) in places {
            let used = code.iter().any(|line| names(line, krate));
            let path = file.to_str().unwrap();
            assert!(!used || allowed.iter().any(|place| path.starts_with(place)), "{path} uses {krate}");
        }
    }
}

/// The schema adds constructors to the store's `Key`, which the compiler would let the store use too.
#[test]
fn the_store_sees_bytes_only() {
    let schema = fs::read_to_string("src/schema/key.rs").unwrap();
    let constructors: Vec<_> = schema
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("pub fn "))
        .map(|rest| rest.split('(').next().unwrap())
        .collect();
    assert!(constructors.contains(&"keyring"), "{constructors:?}");
    for file in rust_files(Path::new("src/store")) {
        let text = fs::read_to_string(&file).unwrap();
        for constructor in &constructors {
            assert!(!text.contains(&format!("Key::{constructor}(")), "{} uses {constructor}", file.display());
        }
    }
}

/// Whether a line has the name, and not only as the end of a longer one.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
    })
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn floor_of(file: &Path) -> String {
    let first = file.components().nth(1).unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules behind each `crate::` or `strongroom::` that is not in a comment.
fn imports(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| {
        line.split("crate::")
            .skip(1)
            .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>())
    })
    .filter(|module| !module.is_empty())
    .collect()
}

fn level(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&module))
        .unwrap_or_else(|| panic!("{module} has no place in FLOORS: give it one"))
}

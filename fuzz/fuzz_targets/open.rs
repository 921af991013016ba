//! Any bytes as keys of the store, as what its engines put around records, as backups, key files and anchors.
//!
//! From the repository: `cargo +nightly fuzz run open`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom::fuzzing::open(bytes));

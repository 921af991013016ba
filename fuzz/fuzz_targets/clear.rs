//! Any bytes as what is sealed in records and backups, the first of which says in which.
//!
//! From the repository: `cargo +nightly fuzz run clear`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom::fuzzing::clear(bytes));

//! Decodes any bytes as keys of the store, as the envelopes of its engines, as backups, as key files and as anchors.
//!
//! From the repository: `cargo +nightly fuzz run open`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom::fuzzing::open(bytes));

//! Decodes any bytes as the plaintext of records and backups. The first byte chooses which kind.
//!
//! From the repository: `cargo +nightly fuzz run clear`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom::fuzzing::clear(bytes));

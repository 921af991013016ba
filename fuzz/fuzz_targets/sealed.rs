//! Any bytes as sealed forms: none opens that was not sealed so.
//!
//! From the repository: `cargo +nightly fuzz run sealed`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom::fuzzing::sealed(bytes));

//! Opens any bytes as sealed forms. None may open that was not sealed by the same key for the same purpose.
//!
//! From the repository: `cargo +nightly fuzz run sealed`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom::fuzzing::sealed(bytes));

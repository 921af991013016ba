//! Tries any bytes as tokens, as the claims of tokens, as issuers' key sets, as authorities and as client certificates. None may
//! become a credential that nobody signed.
//!
//! From the repository: `cargo +nightly fuzz run presented`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom::fuzzing::presented(bytes));

//! The service as a caller sees it: the built binary, its wire, its exit codes and its files.
//!
//! These tests know the contract (the proto files and the design) and nothing of the code behind it. Most share
//! one server, each in a namespace of its own; those that end, restart or read the log of a server have their own.

// A test fails by panicking; that is what these are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Everything here is private to one test binary.
#![allow(missing_docs, unreachable_pub)]
// A refusal is a tonic `Status`, whatever its size.
#![allow(clippy::result_large_err)]

mod caller;
mod capture;
#[path = "../tools/etcd.rs"]
mod etcd_server;
mod harness;
mod memory;
mod raw;
mod refusal;
mod requests;

mod access;
mod api_keys;
mod audit;
mod authentication;
mod backup;
mod canary;
mod connections;
mod create;
mod delete;
mod disk;
mod errors;
mod etag;
mod etcd;
mod generate;
mod get;
mod golden;
mod health;
mod hostile;
mod idempotency;
mod list;
mod master_key;
mod namespaces;
mod paging;
mod process;
mod references;
mod remnants;
mod rename;
mod reserve;
mod restart;
mod rotate;
mod rotation;
mod run;
mod shutdown;
mod startup;
#[cfg(feature = "etcd")]
mod tamper;
mod tls;
mod torture;
mod update;
mod versions;

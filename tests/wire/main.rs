//! The service as a caller sees it: the built binary, its wire, its exit codes and its files.
//!
//! These tests know the contract (the proto files and the design), and no code behind it. Most tests share one server, each
//! in a namespace of its own. A test that ends or restarts a server, or reads its log, starts its own.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Everything here is private to one test binary.
#![allow(missing_docs, unreachable_pub)]
// A refusal is a tonic `Status`, which is large.
#![allow(clippy::result_large_err)]

mod caller;
mod capture;
#[path = "../tools/etcd.rs"]
mod etcd_server;
mod harness;
mod memory;
mod moved_clock;
mod prompt;
mod proxy;
mod raw;
mod refusal;
mod requests;

mod abuse;
mod access;
mod access_commands;
mod api_keys;
mod audit;
mod audit_log;
mod authentication;
mod backup;
mod batch;
mod bindings;
mod canary;
mod command_line;
mod connections;
#[cfg(feature = "etcd")]
mod consistency;
mod contexts;
mod create;
mod credentials;
mod delete;
mod disk;
mod errors;
mod etag;
mod etcd;
mod expiry;
mod generate;
mod get;
mod golden;
mod health;
mod hostile;
mod idempotency;
mod list;
mod loading;
mod master_key;
mod metrics;
mod min_revision;
mod namespaces;
mod paging;
mod process;
mod quotas;
mod recover;
mod references;
mod rekey;
mod remnants;
mod rename;
mod reply_size;
mod reserve;
mod restart;
mod revocation;
mod rotate;
mod rotation;
mod rotator;
mod run;
mod scheduler;
mod shutdown;
mod startup;
mod status;
#[cfg(feature = "etcd")]
mod tamper;
mod tls;
mod torture;
mod traces;
mod undelete;
mod update;
#[cfg(feature = "etcd")]
mod upgrade;
mod usage;
mod versions;
mod watch;
mod watch_commands;

//! Strongroom: a gRPC service that keeps secrets for other services.
//!
//! The modules are floors, listed here from the top to the bottom. Each imports only from floors below it, which
//! `tests/floors.rs` checks.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))] // a test that fails should stop

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub mod cli;
pub mod server;

pub mod api;
pub mod app;
pub mod catalog;

pub mod audit;
pub mod auth;
pub mod crypto;
pub mod integrity;
pub mod reference;
pub mod schema;
pub mod store;

pub mod config;
pub mod domain;
pub mod limits;
pub mod metrics;
pub mod parallel;
pub mod process;
pub mod telemetry;

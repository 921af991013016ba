//! Strongroom: a gRPC service that keeps secrets for other services.
//!
//! The floors, from the top; each imports only from those below it (`tests/floors.rs` sees to that).

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
pub mod reference;
pub mod store;

pub mod config;
pub mod domain;
pub mod process;
pub mod telemetry;

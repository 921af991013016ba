#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! [`Client::builder`] sets a client up and connects it; [`Client::secrets`], [`Client::access`],
//! [`Client::audit`] and [`Client::operator`] have a method for each request, and [`Client::resolve`] resolves the references of a document.
//! Requests and replies are the generated messages in [`v1`]. What fails is an [`Error`], told by its
//! [`reason`](Error::reason).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))] // a test that fails should stop

mod access;
mod address;
mod api_key;
mod audit;
mod client;
mod connect_error;
mod error;
mod health;
mod operator;
mod outgoing;
mod retry;
mod secrets;
mod settings;
pub mod v1;
mod value;
mod watch;

pub use prost_types;
pub use tonic::Code;

pub use self::access::Access;
pub use self::address::{Address, AddressError, DEFAULT_PORT};
pub use self::api_key::{ApiKey, ApiKeyError};
pub use self::audit::Audit;
pub use self::client::{Client, Replies};
pub use self::connect_error::ConnectError;
pub use self::error::{Error, ErrorReason, Violation};
pub use self::operator::Operator;
pub use self::retry::RetryPolicy;
pub use self::secrets::{Pages, Secrets};
pub use self::settings::{Builder, Settings};
pub use self::watch::{Step, Watch};

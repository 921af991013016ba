#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! [`Client::builder`] sets a client up. [`Client`] has a method for each call; [`Client::watch`] follows changes, and
//! [`Client::cached`] keeps secrets in memory. What fails is an [`Error`], told by its [`kind`](Error::kind) and
//! [`reason`](Error::reason).
//!
//! [`Client::secrets`], [`Client::references`], [`Client::access`], [`Client::audit`] and [`Client::operator`] send the bare messages
//! of the service, which are in [`v1`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))] // a test that fails should stop

mod access;
mod address;
mod api_key;
mod audit;
mod builder;
mod cache;
mod calls;
mod client;
mod connect_error;
mod connector;
mod credential;
mod error;
mod error_kind;
mod explain;
mod generator;
mod health;
mod model;
mod operator;
mod outgoing;
mod plaintext;
mod pool;
mod problem;
mod references;
mod retry;
mod secrets;
mod settings;
mod tls;
mod turns;
pub mod v1;
mod value;
mod watch;

pub use prost_types;
pub use tonic::Code;

pub use self::access::Access;
pub use self::address::{Address, AddressError, DEFAULT_PORT};
pub use self::api_key::{ApiKey, ApiKeyError};
pub use self::audit::Audit;
pub use self::builder::Builder;
pub use self::cache::{Cache, CachePolicy, CachedSecret};
pub use self::calls::{
    Acknowledge, BatchGet, BatchItem, ChangeVersion, Claim, ClaimedRotation, Create, Credential, Delete,
    DestroyVersion, DestroyedVersion, Event, Events, Explain, Explanation, Get, Identity, List,
    ListNamespaces, NamespaceList, Promote, Reference, Release, Resolve, ResolvedDocument, Rotate,
    SecretList, Stage, StagedVersion, Undelete, Update, Versions, WatchChanges, WatchEvent,
};
pub use self::client::{Client, Replies};
pub use self::connect_error::ConnectError;
pub use self::credential::Token;
pub use self::error::{Error, ErrorReason, Violation};
pub use self::error_kind::ErrorKind;
pub use self::generator::{Generator, NewValue, RotationPolicy};
pub use self::model::{
    Consumer, DeletedSecret, Namespace, RotationClaim, RotationFailure, Secret, SecretVersion,
};
pub use self::operator::Operator;
pub use self::plaintext::Value;
pub use self::references::References;
pub use self::retry::RetryPolicy;
pub use self::secrets::{Pages, Secrets};
pub use self::settings::Settings;
pub use self::v1::{
    BytesEncoding, CharacterClass, Consistency, KeyPairAlgorithm, Right, SecretEventType, VersionState,
};
pub use self::watch::{Step, Watch};

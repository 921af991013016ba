//! The service's own types: names, values, metadata, versions, pages. No I/O, no async.
//!
//! Untrusted input is parsed once, by the api or the command line, and the types here are valid from then on. An input
//! that does not parse is [`Invalid`], with a sentence that says what to do. Every floor of the service uses these types.

mod clock;
mod destruction;
mod due;
mod event;
mod generator;
mod metadata;
mod name;
mod namespace;
mod page;
mod rotation;
mod secret;
mod usage;
mod value;
mod version;
mod violation;

pub use clock::{Clock, Timestamp, new_id, now};
pub use destruction::Destruction;
pub use due::Duty;
pub use event::{EventType, FormerMetadata, NewEvent, PairDigest, SecretEvent};
pub use generator::{BytesEncoding, CharacterClass, Generator, KeyPairAlgorithm};
pub use metadata::Metadata;
pub use name::SecretName;
pub use namespace::Namespace;
pub use page::{Cursor, DEFAULT_LIMIT, Filter, MAX_LIMIT, Order, OrderBy, Start};
pub use rotation::{
    Claim, ClaimId, DailyWindow, MAX_FAILURE_BYTES, Rotation, RotationFailure, RotationFilter,
    RotationPolicy, RotationStep,
};
pub use secret::{Deletion, Description, ExpiryTold, RequestId, Revision, Secret, SecretId};
pub use usage::{Consumer, Minute, SecretUsage, VersionUsage};
pub use value::{Value, ValueSize};
pub use version::{MAX_KEPT_VERSIONS, MAX_VERSIONS, Version, VersionState, Versions};
pub use violation::{Invalid, Violation, Violations};

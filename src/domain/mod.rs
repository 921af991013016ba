//! The words of the service: names, values, metadata, versions, pages. No I/O, no async.
//!
//! Every type here is parsed once, at the edge, and is valid from then on.

mod clock;
mod generator;
mod metadata;
mod name;
mod namespace;
mod page;
mod secret;
mod value;
mod violation;

pub use clock::{Timestamp, now};
pub use generator::{BytesEncoding, Generator};
pub use metadata::Metadata;
pub use name::SecretName;
pub use namespace::Namespace;
pub use page::{Cursor, DEFAULT_LIMIT, Filter, MAX_LIMIT, Order, OrderBy, Start};
pub use secret::{Description, MAX_KEPT_VERSIONS, RequestId, Revision, Secret, SecretId};
pub use value::Value;
pub use violation::{Invalid, Violation, Violations};

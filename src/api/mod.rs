//! The service for its callers: what every request passes ([`gate`]), requests and errors in the service's own terms
//! ([`request`], [`error`]), and beside them each wire, which puts them into its own form ([`strongroom_v1`]). Generated
//! types stay on this floor and in the command line.

mod error;
mod gate;
mod request;
mod strongroom_v1;

pub(crate) use self::gate::{Gate, InFlight, Peer};
pub use self::strongroom_v1::{SERVICES, proto as v1, services};

/// The largest message that is accepted, in bytes.
pub const MAX_MESSAGE: usize = 1 << 20;

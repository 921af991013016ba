//! The service for its callers. The [`gate`] stands before all handlers; [`request`] and [`error`] have requests and errors in
//! the service's own terms; each wire puts them into its own form, in a folder of its own ([`strongroom_v1`]). Generated
//! types stay on this floor and in the command line.

mod codec;
mod error;
mod gate;
mod request;
mod services;
mod strongroom_v1;

pub(crate) use self::error::reason_names;
#[cfg(test)]
pub(crate) use self::gate::TestOverload;
pub(crate) use self::gate::{
    Begun, CODES, Closing, Connection, Gate, Gated, InFlight, Recipient, RequestMetrics, RpcReading,
    UnreadRefusal,
};
pub(crate) use self::services::{Collected, Services};
pub(crate) use self::strongroom_v1::rpcs::names as rpc_names;
pub use self::strongroom_v1::{AUDIT_SERVICE, SERVICES, proto as v1, services};

/// The largest message that is accepted, in bytes.
pub const MAX_MESSAGE: usize = 1 << 20;

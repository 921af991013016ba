//! The limits in use: what one caller, and all callers together, may have under way at a time.
//!
//! A [`Counter`] counts what there is of one thing. [`Admission`] lets a request in, for all requests and for its principal,
//! and counts the bytes that it keeps in memory. A [`FairQueue`] gives turns to principals in rotation, so that a principal
//! with one request does not wait for the thousand requests of another. [`Quotas`] count what is stored.

mod admission;
mod counter;
mod fair_queue;
mod quota;
mod rate;

use std::time::Duration;

pub use self::admission::{Admission, Allowance};
pub use self::counter::{Counted, Counter};
pub use self::fair_queue::{FairQueue, QueueFull, Turn};
pub use self::quota::{
    Amount, NamespaceQuotas, Quota, QuotaLimit, QuotaReached, QuotaUse, Quotas, Reservation,
};

/// A limit that a request has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    /// Requests of all callers: so many at a time.
    Requests(usize),
    /// Requests of one principal: so many at a time.
    RequestsPerPrincipal(usize),
    /// The share of one principal, once most of the requests of all callers are taken: so many requests at a time.
    Share(usize),
    /// Bytes of the requests and replies of all callers: so many.
    Memory(usize),
    /// Bytes of the requests and replies of one principal: so many.
    MemoryPerPrincipal(usize),
    /// Requests of one principal: so many in a second. The next one can be sent after the given time.
    RequestsPerSecond(u32, Duration),
    /// Documents of one principal that wait for their turn: so many.
    DocumentsPerPrincipal(usize),
}

/// How much of a limit is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitUse {
    /// The name of the limit, as the configuration has it.
    pub name: &'static str,
    /// The limit.
    pub limit: u64,
    /// How much is used now. For a limit per principal: by the principal that uses most.
    pub used: u64,
    /// How many requests were refused at this limit since the server started.
    pub refused: u64,
}

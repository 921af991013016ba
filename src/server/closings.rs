//! The connections that the server closed: how many for each cause, and what the log tells of them.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::Closing;

/// How often the log tells of a cause at most.
const LOG: Duration = Duration::from_secs(1);

/// The connections that the server closed.
#[derive(Default)]
pub(super) struct Closings(Mutex<[OfCause; Closing::ALL.len()]>);

/// Those of one cause.
#[derive(Default, Clone, Copy)]
struct OfCause {
    all: u64,
    /// Those of which the log tells only the number.
    left_out: u64,
    logged: Option<Instant>,
}

impl Closings {
    /// Counts a connection of this peer. The log tells of it, unless it has told of another one of this cause a moment ago.
    pub(super) fn count(&self, cause: Closing, peer: SocketAddr) {
        let Some(left_out) = self.note(cause) else { return };
        let name = cause.name();
        match cause {
            // These happen to clients that mean no harm, and the limit has a line of its own.
            Closing::MadeRoom | Closing::Silent | Closing::Age => {
                tracing::debug!(cause = name, %peer, left_out, "the server closed a connection");
            }
            Closing::Handshake
            | Closing::NotBegun
            | Closing::NotAuthenticated
            | Closing::Flood
            | Closing::Resets
            | Closing::Broken => {
                tracing::warn!(cause = name, %peer, left_out, "the server closed a connection");
            }
        }
    }

    /// How many there were of each cause.
    pub(super) fn read(&self) -> [(&'static str, u64); Closing::ALL.len()] {
        let closings = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = closings.iter().map(|of_cause| of_cause.all);
        Closing::ALL.map(|cause| (cause.name(), counts.next().unwrap_or(0)))
    }

    /// Counts one. Gives the number of those that were left out before it, if the log is to tell of this one.
    fn note(&self, cause: Closing) -> Option<u64> {
        let mut closings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Closing::ALL.iter().position(|other| *other == cause)?;
        let of_cause = closings.get_mut(place)?;
        of_cause.all += 1;
        let now = Instant::now();
        if of_cause.logged.is_some_and(|logged| now.duration_since(logged) < LOG) {
            of_cause.left_out += 1;
            return None;
        }
        of_cause.logged = Some(now);
        Some(std::mem::take(&mut of_cause.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_log_tells_of_each_cause_once_a_second_and_how_many_it_leaves_out() {
        let closings = Closings::default();
        let told: Vec<_> = (0..5).map(|_| closings.note(Closing::Flood)).collect();
        assert_eq!(told, [Some(0), None, None, None, None]);
        assert_eq!(closings.note(Closing::Resets), Some(0));
        tokio::time::advance(LOG).await;
        assert_eq!((closings.note(Closing::Flood), closings.note(Closing::Flood)), (Some(4), None));
        let counts = closings.read().into_iter().filter(|(_, many)| *many > 0);
        assert_eq!(counts.collect::<Vec<_>>(), [("flood", 7), ("resets", 1)]);
    }
}

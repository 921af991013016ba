//! Counts the requests that are being answered, so that the server can wait for them before it stops.

use std::sync::Arc;

use tokio::sync::watch;

/// The number of requests that are being answered. Cheap to clone; all clones count together.
#[derive(Clone)]
pub(crate) struct InFlight(Arc<watch::Sender<usize>>);

impl Default for InFlight {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl InFlight {
    /// Counts a request until the guard is dropped.
    pub(super) fn enter(&self) -> Entered {
        self.0.send_modify(|requests| *requests += 1);
        Entered(self.clone())
    }

    /// How many requests are being answered.
    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Whether no request is being answered.
    pub(crate) fn is_none(&self) -> bool {
        *self.0.borrow() == 0
    }

    /// Waits until no request is being answered.
    pub(crate) async fn none(&self) {
        // The sender lives as long as self, so this ends only when the count is 0.
        let _ = self.0.subscribe().wait_for(|requests| *requests == 0).await;
    }
}

/// A request that is being answered.
pub(super) struct Entered(InFlight);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.send_modify(|requests| *requests = requests.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn none_waits_for_the_last_request() {
        let in_flight = InFlight::default();
        in_flight.none().await;
        let (first, second) = (in_flight.enter(), in_flight.clone().enter());
        let mut waiting = Box::pin(in_flight.none());
        let mut context = Context::from_waker(Waker::noop());
        let mut done = || waiting.as_mut().poll(&mut context).is_ready();
        assert!(!done());
        drop(first);
        assert!(!done());
        drop(second);
        assert!(done());
    }
}

//! Until when the caller of the present work waits.

use std::future::Future;
use std::time::Instant;

tokio::task_local! {
    /// Kept beside the request instead of in the arguments of every operation: only the commit looks at it, to refuse a
    /// change that nobody waits for any more.
    static DEADLINE: Instant;
}

/// Runs work for a caller that waits until `deadline`. A change that cannot begin before the deadline is not made.
pub async fn until<F: Future>(deadline: Instant, work: F) -> F::Output {
    DEADLINE.scope(deadline, work).await
}

/// Until when the caller of the present work waits; `None` where no caller does.
pub(super) fn deadline() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

use std::future::Future;
use std::time::Instant;

tokio::task_local! {
    /// Beside the request and not in every operation's arguments: no operation decides anything by it but whether a
    /// change is still worth beginning.
    static DEADLINE: Instant;
}

/// Does work for a caller that waits until then. A change that can not be begun before is not made at all.
pub async fn until<F: Future>(deadline: Instant, work: F) -> F::Output {
    DEADLINE.scope(deadline, work).await
}

/// Until when the caller of the present work waits; `None` where nobody does.
pub(super) fn deadline() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

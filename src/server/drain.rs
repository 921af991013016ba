//! The orderly end of the transport: requests in flight are answered, then connections are closed, all within a bound.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::InFlight;

/// How long requests in flight may take to end once the server is to stop.
const DRAIN: Duration = Duration::from_secs(25);
/// How long connections may take to close once no request is in flight: the last bytes of answers are on their way, and watches are
/// told that the server stops. A silent connection never closes by itself.
const CLOSE: Duration = Duration::from_secs(5);

/// Waits until the server is to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await; // without its sender, the server stops too
}

/// Waits for the end of a transport that takes no new connections, and ends it where that takes too long.
pub(super) async fn drain<T>(serving: &mut JoinHandle<T>, in_flight: &InFlight) {
    let drained = async {
        // A connection can begin a request until it has heard of the stop: then that request is waited for too.
        loop {
            in_flight.none().await;
            let closed = timeout(CLOSE, &mut *serving).await.is_ok();
            if closed || in_flight.is_none() {
                return;
            }
        }
    };
    let cut_off = timeout(DRAIN, drained).await.is_err();
    if cut_off {
        tracing::warn!("requests were cut off: they took longer than the time for the end");
    }
    if !serving.is_finished() {
        tracing::info!(requests_cut_off = cut_off, "connections still open are closed");
        serving.abort();
    }
}

//! sled can sleep for ever: where a write fails whose buffer was sealed while something was still put into it, as happens
//! where a reader writes while the committer flushes, it notes the error and wakes nobody who waits for that write.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::guarded;
use crate::store::Unavailable;

/// How often sled is asked whether it has failed.
const PERIOD: Duration = Duration::from_millis(250);

/// A thread that wakes whoever waits within sled once it has failed. It ends as this is dropped.
pub(super) struct Watchdog {
    thread: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Watchdog {
    /// For a tree that was opened with this.
    pub(super) fn start(config: sled::Config, tree: sled::Db) -> Result<Self, Unavailable> {
        let (ends, ended) = mpsc::channel();
        let watch = move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                if config.global_error().is_err() {
                    // After an error it writes nothing, and does not wait; but all who wait are woken, and told.
                    let _ = guarded(|| tree.flush());
                }
            }
        };
        let thread = thread::Builder::new()
            .name("sled-watchdog".into())
            .spawn(watch)
            .map_err(|error| Unavailable(format!("no thread for sled's watchdog: {error}").into()))?;
        Ok(Self { thread: Some((ends, thread)) })
    }
}

impl Drop for Watchdog {
    /// Waits until it has let go of the tree, which can not be opened again before.
    fn drop(&mut self) {
        if let Some((ends, thread)) = self.thread.take() {
            drop(ends);
            let _ = thread.join();
        }
    }
}

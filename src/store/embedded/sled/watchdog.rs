//! Wakes threads that sled would let sleep for ever. If a write fails whose buffer was sealed while another thread
//! still filled it (a reader writes while the committer flushes), sled notes the error and wakes nobody who waits
//! for that write.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::guarded;
use crate::store::Unavailable;

/// How often sled is asked whether it has failed.
const PERIOD: Duration = Duration::from_millis(250);

/// A thread that wakes everyone who waits within sled once it has failed. It ends when this is dropped.
pub(super) struct Watchdog {
    thread: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Watchdog {
    /// Watches a tree that this configuration opened.
    pub(super) fn start(config: sled::Config, tree: sled::Db) -> Result<Self, Unavailable> {
        let (ends, ended) = mpsc::channel();
        let watch = move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                if config.global_error().is_err() {
                    // After an error, flush writes nothing and does not wait; but it wakes all who wait, and they
                    // get the error.
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
    /// Waits until the thread has let go of the tree, which cannot be opened again before.
    fn drop(&mut self) {
        if let Some((ends, thread)) = self.thread.take() {
            drop(ends);
            let _ = thread.join();
        }
    }
}

//! A record on its way into both logs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{LogAuditor, Unwritable};

/// How long a caller waits until its record is written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A record that waits in both logs. If nobody else will write it, dropping it wakes the threads of the logs.
pub(super) struct WaitingRecord<'a> {
    auditor: &'a LogAuditor,
    /// Told whether the audit log has it.
    logged: Option<oneshot::Receiver<bool>>,
    /// Told whether the process's log has it.
    told: Option<oneshot::Receiver<bool>>,
    /// Whether somebody is going to write it.
    is_left: bool,
}

impl<'a> WaitingRecord<'a> {
    /// A record that waits in those logs that tell when it is written.
    pub(super) fn new(
        auditor: &'a LogAuditor,
        logged: Option<oneshot::Receiver<bool>>,
        told: Option<oneshot::Receiver<bool>>,
    ) -> Self {
        Self { auditor, logged, told, is_left: false }
    }

    /// Writes this record and all others that wait, in this thread, unless another thread that serves requests does so.
    pub(super) fn write_all(&mut self) {
        if let Ok(_turn) = self.auditor.writing.try_lock() {
            self.auditor.write_waiting();
            self.is_left = true;
        }
    }

    /// Waits until it is written, or fails within a bound.
    pub(super) async fn written(mut self) -> Result<(), Unwritable> {
        self.leave();
        let (logged, told) = (self.logged.take(), self.told.take());
        let has_event = told.is_some();
        let (logged, told) = tokio::join!(written(logged), written(told));
        if has_event {
            self.auditor.failing.store(!told, Ordering::Relaxed);
        }
        if logged && told { Ok(()) } else { Err(Unwritable) }
    }

    /// Leaves it to the threads of the logs, unless somebody is going to write it.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.is_left, true) {
            self.auditor.wake();
        }
    }
}

impl Drop for WaitingRecord<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Whether a log has a record, within a bound. True where the record does not go there.
async fn written(told: Option<oneshot::Receiver<bool>>) -> bool {
    match told {
        Some(told) => matches!(tokio::time::timeout(WRITE_TIMEOUT, told).await, Ok(Ok(true))),
        None => true,
    }
}

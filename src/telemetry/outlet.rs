//! A log's queue and its sink.
//!
//! A log has a thread that writes. To wake it, and to be woken by it, costs more than the write itself. So records are written
//! by a task that waits for one, where that is quick ([`Outlet::write_waiting`]). The thread writes everything else: what comes while
//! the log is slow, and lines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::queue::Queue;

/// A write by a task that took longer than this is the last one for [`REST`]: only the thread writes meanwhile.
const SLOW: Duration = Duration::from_millis(20);
/// How long only the thread writes after that.
const REST: Duration = Duration::from_secs(1);
/// How many batches a task writes at most. It writes the records of others too.
const BATCHES: usize = 4;

/// What the texts of a log are written to.
pub trait Sink: Send {
    /// How many bytes a task may write now, because it would wait for nothing.
    fn room(&self) -> usize;

    /// Writes texts.
    fn write(&mut self, text: &[u8]) -> Written;
}

/// How a write went.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// Whether the texts were written.
    pub is_whole: bool,
    /// Whether the log's thread has something to do sooner than before.
    pub is_due: bool,
}

/// Those who wait for records, and whether these were written.
#[derive(Default)]
#[must_use = "somebody waits for them"]
pub struct Receipts(Vec<(oneshot::Sender<bool>, bool)>);

impl Receipts {
    /// Tells all of them.
    pub fn tell(self) {
        for (record, is_written) in self.0 {
            let _ = record.send(is_written); // the caller may have stopped waiting
        }
    }
}

/// A queue and the sink of its texts.
pub struct Outlet<S> {
    queue: Queue,
    sink: Mutex<S>,
    /// Whether the log's thread waits for the sink. Tasks would overtake it again and again.
    is_wanted: AtomicBool,
    /// Until when only the log's thread writes.
    rests_until: Mutex<Option<Instant>>,
}

impl<S: Sink> Outlet<S> {
    /// An outlet to this sink.
    pub fn new(sink: S) -> Self {
        Self {
            queue: Queue::default(),
            sink: Mutex::new(sink),
            is_wanted: AtomicBool::new(false),
            rests_until: Mutex::default(),
        }
    }

    /// The queue. After a record was added, [`Self::write_waiting`] or [`Queue::wake_writer`] must be called.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The sink, for the log's thread. It looks at the queue again after it has had the sink.
    pub fn sink(&self) -> MutexGuard<'_, S> {
        self.is_wanted.store(true, Ordering::Release);
        let sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_wanted.store(false, Ordering::Release);
        sink
    }

    /// Writes the records that wait, in this thread, where that is quick, and leaves the others to the log's thread. The caller
    /// tells those who wait.
    ///
    /// One task at a time may call this: a write to a file can block its thread after all, and other threads must be left that
    /// serve requests.
    pub fn write_waiting(&self) -> Receipts {
        let mut receipts = Receipts::default();
        for _ in 0..BATCHES {
            if self.queue.is_without_records() {
                return receipts;
            }
            if self.rests() {
                break;
            }
            let mut sink = match self.sink.try_lock() {
                Ok(sink) if !self.is_wanted.load(Ordering::Acquire) => sink,
                // The log's thread has the sink, or will have it soon, and looks for records after that.
                Ok(_) | Err(TryLockError::WouldBlock) => return receipts,
                // A write has panicked. The thread finds out whether there can be others.
                Err(TryLockError::Poisoned(_)) => break,
            };
            let room = sink.room();
            if room == 0 {
                break; // an empty record would fit, and has the log mended too
            }
            let batch = self.queue.records_now(room);
            if batch.records.is_empty() {
                break;
            }
            let begun = Instant::now();
            let Written { is_whole, is_due } = sink.write(&batch.text);
            drop(sink);
            self.rest_after(begun);
            receipts.0.extend(batch.records.into_iter().map(|record| (record, is_whole)));
            if is_due {
                self.queue.wake_writer();
            }
        }
        self.queue.wake_writer();
        receipts
    }

    fn rests(&self) -> bool {
        self.rest().is_some_and(|until| Instant::now() < until)
    }

    /// Rests if the write since then was slow.
    fn rest_after(&self, begun: Instant) {
        let now = Instant::now();
        if now - begun > SLOW {
            *self.rest() = Some(now + REST);
        }
    }

    fn rest(&self) -> MutexGuard<'_, Option<Instant>> {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this is a task of a runtime that has another thread to serve requests while this one writes.
pub fn may_write() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.metrics().num_workers() > 1)
}

/// Lets the tasks that are ready run before this one goes on. Other threads can run all of them meanwhile, this one too. Tokio's
/// `yield_now` keeps the task at its thread, where nobody finds it if that thread is blocked.
pub async fn after_ready_tasks() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use super::super::queue::Next;
    use super::*;

    /// Notes what is written, and by which thread.
    struct Noted {
        room: usize,
        /// What a write waits for.
        pause: Duration,
        written: Vec<(ThreadId, String)>,
    }

    impl Sink for Noted {
        fn room(&self) -> usize {
            self.room
        }

        fn write(&mut self, text: &[u8]) -> Written {
            thread::sleep(self.pause);
            self.written.push((thread::current().id(), String::from_utf8(text.to_vec()).unwrap()));
            Written { is_whole: true, is_due: true }
        }
    }

    fn outlet(room: usize, pause: Duration) -> Outlet<Noted> {
        Outlet::new(Noted { room, pause, written: Vec::new() })
    }

    fn written(outlet: &Outlet<Noted>) -> Vec<String> {
        outlet.sink().written.iter().map(|(_, text)| text.clone()).collect()
    }

    #[test]
    fn one_task_writes_the_records_of_all() {
        let outlet = outlet(100, Duration::ZERO);
        let told = ["a", "b", "a"].map(|owner| outlet.queue().add_record(owner, owner.into()).unwrap());
        outlet.write_waiting().tell();
        assert!(told.into_iter().all(|mut told| told.try_recv() == Ok(true)));
        let here = thread::current().id();
        assert_eq!(outlet.sink().written, [(here, "aba".to_owned())]);
        outlet.write_waiting().tell();
        assert_eq!(written(&outlet).len(), 1, "nothing waits any more");
        let next = outlet.queue().next_batch_within(Duration::MAX);
        assert!(matches!(next, Next::Nothing), "the thread hears that it has something to do sooner");
    }

    #[test]
    fn what_could_wait_for_a_reader_is_left_to_the_thread() {
        let outlet = outlet(10, Duration::ZERO);
        for text in ["six006", "four", "x"] {
            outlet.queue().add_record("a", text.into()).unwrap();
        }
        outlet.queue().add_record("b", "larger than the room".into()).unwrap();
        outlet.write_waiting().tell();
        assert_eq!(written(&outlet), ["six006four", "x"]);
        let Next::Batch(batch) = outlet.queue().next_batch_within(Duration::ZERO) else {
            panic!("a record is lost")
        };
        assert_eq!(batch.text, b"larger than the room");
    }

    #[test]
    fn a_slow_log_is_left_to_the_thread_for_a_while() {
        let outlet = outlet(100, 2 * SLOW);
        outlet.queue().add_record("a", "slow".into()).unwrap();
        outlet.write_waiting().tell();
        outlet.queue().add_record("a", "next".into()).unwrap();
        outlet.write_waiting().tell();
        assert_eq!(written(&outlet), ["slow"]);
        assert!(matches!(outlet.queue().next_batch_within(Duration::ZERO), Next::Batch(_)));
    }

    #[test]
    fn nothing_is_written_behind_the_end_of_a_log() {
        let outlet = outlet(100, Duration::ZERO);
        outlet.queue().close();
        outlet.queue().add_record("a", "late".into()).unwrap();
        outlet.write_waiting().tell();
        assert_eq!(written(&outlet), [""; 0]);
    }

    #[test]
    fn the_thread_has_its_turn_and_then_what_came_meanwhile() {
        let outlet = outlet(100, Duration::ZERO);
        thread::scope(|scope| {
            let (begun, begins) = mpsc::channel();
            let (goes_on, told) = mpsc::channel::<()>();
            let of_thread = &outlet;
            scope.spawn(move || {
                let sink = of_thread.sink();
                begun.send(()).unwrap();
                let _ = told.recv();
                drop(sink);
                let Next::Batch(batch) = of_thread.queue().next_batch_within(Duration::MAX) else {
                    panic!("it is lost")
                };
                of_thread.sink().write(&batch.text);
                batch.records.into_iter().for_each(|record| record.send(true).unwrap());
            });
            begins.recv().unwrap();
            let written = outlet.queue().add_record("a", "meanwhile".into()).unwrap();
            outlet.write_waiting().tell(); // waits for nobody
            drop(goes_on);
            assert_eq!(written.blocking_recv(), Ok(true));
        });
        assert_eq!(written(&outlet), ["meanwhile"]);
    }

    #[tokio::test]
    async fn the_only_thread_of_a_runtime_does_not_write() {
        assert!(!may_write());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_of_several_threads_may() {
        assert!(tokio::spawn(async { may_write() }).await.unwrap());
    }
}

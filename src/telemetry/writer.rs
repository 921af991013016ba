//! Writes the log's lines in a thread of its own, so that a reader of the log that stalls never stalls the service.
//!
//! The queue to the thread is bounded. A line that finds no room is lost, and counted: the caller who needs to know that
//! its line was written asks with [`LogWriter::written`].

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait to be written.
const QUEUE_LINES: usize = 8192;
/// How long a caller waits until its lines are written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The sending side of the queue. The thread ends when the last clone is dropped.
#[derive(Clone)]
pub(super) struct LogWriter {
    queue: SyncSender<Queued>,
    /// How many lines were lost so far.
    lost: Arc<AtomicU64>,
}

/// An entry of the queue.
enum Queued {
    Line(Vec<u8>),
    /// Answered once every line before it is written or counted as lost.
    Barrier(oneshot::Sender<()>),
}

impl LogWriter {
    /// Starts the thread.
    pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, queued) = sync_channel(QUEUE_LINES);
        let lost = Arc::<AtomicU64>::default();
        let thread = std::thread::Builder::new().name("log".into());
        let counter = lost.clone();
        thread.spawn(move || write_all(&queued, to, &counter))?;
        Ok(Self { queue, lost })
    }

    /// Calls `write`, which logs lines, and waits until they are written, for at most 5 seconds. `false`: some of them may
    /// not have been written.
    pub(super) async fn written(&self, write: impl FnOnce()) -> bool {
        // Any line that is lost from here on could be one of ours. If it is not, the answer is `false` without need, which
        // is safe.
        let before = self.lost.load(Ordering::SeqCst);
        write();
        let (answer, answered) = oneshot::channel();
        if self.queue.try_send(Queued::Barrier(answer)).is_err() {
            return false;
        }
        let answered = tokio::time::timeout(WRITE_TIMEOUT, answered).await;
        matches!(answered, Ok(Ok(()))) && before == self.lost.load(Ordering::SeqCst)
    }
}

/// The thread: writes what is queued, until the queue has no more senders.
fn write_all(queue: &Receiver<Queued>, mut to: impl Write, lost: &AtomicU64) {
    while let Ok(first) = queue.recv() {
        // Lines that wait are written together, up to about 64 KiB.
        let (mut batch, mut lines, mut barriers) = (Vec::new(), 0, Vec::new());
        let mut next = Some(first);
        while let Some(queued) = next {
            match queued {
                Queued::Line(line) => {
                    batch.extend_from_slice(&line);
                    lines += 1;
                }
                Queued::Barrier(answer) => barriers.push(answer),
            }
            next = (batch.len() < 64 * 1024).then(|| queue.try_recv().ok()).flatten();
        }
        if to.write_all(&batch).and_then(|()| to.flush()).is_err() {
            lost.fetch_add(lines, Ordering::SeqCst);
        }
        for answer in barriers {
            let _ = answer.send(()); // the caller may have stopped waiting
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { writer: self, text: Vec::new() }
    }
}

/// A line of the log, put into the queue when it is dropped.
pub(super) struct Line<'a> {
    writer: &'a LogWriter,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.writer.queue.try_send(Queued::Line(std::mem::take(&mut self.text))).is_err() {
            self.writer.lost.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(writer: &LogWriter, text: &str) {
        writer.make_writer().write_all(text.as_bytes()).unwrap();
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Reports that it was asked to write, and blocks until it is told to go on.
    struct Stalled {
        asked: std::sync::mpsc::Sender<()>,
        go_on: std::sync::mpsc::Receiver<()>,
    }

    impl Write for Stalled {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.asked.send(());
            let _ = self.go_on.recv();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_written_line_is_reported_as_written() {
        let writer = LogWriter::start(io::sink()).unwrap();
        for _ in 0..100 {
            assert!(writer.written(|| line(&writer, "a\n")).await);
        }
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_written_is_reported() {
        let writer = LogWriter::start(Broken).unwrap();
        assert!(!writer.written(|| line(&writer, "a\n")).await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_caller_takes_the_line_of_another_for_its_own() {
        let writer = LogWriter::start(Broken).unwrap();
        let tries = (0..64).map(|_| {
            let writer = writer.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    assert!(!writer.written(|| line(&writer, "a\n")).await);
                }
            })
        });
        for tried in tries.collect::<Vec<_>>() {
            tried.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_reader_delays_no_caller_beyond_the_timeout() {
        let (go_on, told) = std::sync::mpsc::channel();
        let (asked, stalled) = std::sync::mpsc::channel();
        let writer = LogWriter::start(Stalled { asked, go_on: told }).unwrap();
        assert!(!writer.written(|| line(&writer, "a\n")).await);
        stalled.recv().unwrap(); // from here on the thread takes nothing from the queue
        for _ in 0..2 * QUEUE_LINES {
            line(&writer, "b\n"); // more than the queue has room for: no call waits
        }
        assert!(writer.lost.load(Ordering::SeqCst) > 0);
        drop(go_on);
        tokio::time::resume();
        // Once the thread has made room, lines are written again.
        let recovered = async { while !writer.written(|| ()).await {} };
        tokio::time::timeout(WRITE_TIMEOUT, recovered).await.unwrap();
    }
}

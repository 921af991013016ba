use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait to be written.
const WAITING: usize = 8192;
/// How long an audit record may take to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes the log's lines in a thread of its own, so that a reader of the log that stalls never stalls the service.
///
/// A line that finds no room is lost, and the loss is known: whoever needs a line to be written asks for that.
#[derive(Clone)]
pub(super) struct LogWriter {
    queue: SyncSender<Queued>,
    missing: Arc<AtomicU64>,
}

/// What waits for the thread, in order.
enum Queued {
    Line(Vec<u8>),
    /// Everything queued before is to be written, or known to be missing, before this is answered.
    Barrier(oneshot::Sender<()>),
}

impl LogWriter {
    /// Starts the thread, which ends with the last writer.
    pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(WAITING);
        let missing = Arc::<AtomicU64>::default();
        let thread = std::thread::Builder::new().name("log".into());
        let counted = missing.clone();
        thread.spawn(move || write_all(&waiting, to, &counted))?;
        Ok(Self { queue, missing })
    }

    /// Does what writes lines, and waits until they are written. False: they were not, or not within a bound.
    pub(super) async fn written(&self, write: impl FnOnce()) -> bool {
        // Any line that goes missing from here on could be ours. Another's makes us say no where we could say yes.
        let before = self.missing.load(Ordering::SeqCst);
        write();
        let (answer, answered) = oneshot::channel();
        if self.queue.try_send(Queued::Barrier(answer)).is_err() {
            return false;
        }
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        matches!(answered, Ok(Ok(()))) && before == self.missing.load(Ordering::SeqCst)
    }
}

fn write_all(waiting: &Receiver<Queued>, mut to: impl Write, missing: &AtomicU64) {
    while let Ok(first) = waiting.recv() {
        // All that waits goes out as one.
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
            next = (batch.len() < 64 * 1024).then(|| waiting.try_recv().ok()).flatten();
        }
        if to.write_all(&batch).and_then(|()| to.flush()).is_err() {
            missing.fetch_add(lines, Ordering::SeqCst);
        }
        for answer in barriers {
            let _ = answer.send(()); // who asked may have lost patience
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { writer: self, text: Vec::new() }
    }
}

/// A line that is handed over when it is dropped.
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
            self.writer.missing.fetch_add(1, Ordering::SeqCst);
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

    /// Says that it was asked to write, and writes nothing until it is told to.
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
    async fn a_line_that_is_written_is_known_to_be() {
        let writer = LogWriter::start(io::sink()).unwrap();
        for _ in 0..100 {
            assert!(writer.written(|| line(&writer, "a\n")).await);
        }
    }

    #[tokio::test]
    async fn a_line_that_can_not_be_written_is_known_to_be_missing() {
        let writer = LogWriter::start(Broken).unwrap();
        assert!(!writer.written(|| line(&writer, "a\n")).await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_at_once_none_takes_anothers_line_for_its_own() {
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
    async fn a_stalled_reader_holds_up_nobody_for_longer_than_the_bound() {
        let (go_on, told) = std::sync::mpsc::channel();
        let (asked, stalled) = std::sync::mpsc::channel();
        let writer = LogWriter::start(Stalled { asked, go_on: told }).unwrap();
        assert!(!writer.written(|| line(&writer, "a\n")).await);
        stalled.recv().unwrap(); // from here on the thread takes nothing from the queue
        for _ in 0..2 * WAITING {
            line(&writer, "b\n"); // more than there is room for: none of them waits
        }
        assert!(writer.missing.load(Ordering::SeqCst) > 0);
        drop(go_on);
        tokio::time::resume();
        // Once the thread has made room, lines are written again.
        let recovered = async { while !writer.written(|| ()).await {} };
        tokio::time::timeout(PATIENCE, recovered).await.unwrap();
    }
}

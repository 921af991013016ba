use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::watch;
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
    lines: SyncSender<Vec<u8>>,
    /// How many lines were handed over.
    handed_over: Arc<AtomicU64>,
    /// How many lines found no room.
    lost: Arc<AtomicU64>,
    written: watch::Receiver<Written>,
}

/// How far the thread has come.
#[derive(Clone, Copy, Default)]
struct Written {
    lines: u64,
    /// How many lines could not be written.
    failed: u64,
}

impl LogWriter {
    /// Starts the thread, which ends with the last writer.
    pub(super) fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let (progress, written) = watch::channel(Written::default());
        let thread = std::thread::Builder::new().name("log".into());
        thread.spawn(move || write_all(&waiting, to, &progress))?;
        Ok(Self { lines, handed_over: Arc::default(), lost: Arc::default(), written })
    }

    /// Does what writes a line, and waits until it is written. False: it was not, or not within a bound.
    pub(super) async fn written(&self, write: impl FnOnce()) -> bool {
        let before = (self.lost.load(Ordering::SeqCst), self.written.borrow().failed);
        write();
        // Lines that others hand over meanwhile count too: to wait for one of them as well does no harm.
        let line = self.handed_over.load(Ordering::SeqCst);
        let mut written = self.written.clone();
        let waited = tokio::time::timeout(PATIENCE, written.wait_for(|written| written.lines >= line)).await;
        let Ok(Ok(after)) = waited else { return false };
        before == (self.lost.load(Ordering::SeqCst), after.failed)
    }
}

fn write_all(waiting: &Receiver<Vec<u8>>, mut to: impl Write, progress: &watch::Sender<Written>) {
    let mut written = Written::default();
    while let Ok(first) = waiting.recv() {
        // All that waits goes out as one.
        let mut lines = 1;
        let mut batch = first;
        while let Some(next) = (batch.len() < 64 * 1024).then(|| waiting.try_recv().ok()).flatten() {
            batch.extend_from_slice(&next);
            lines += 1;
        }
        if to.write_all(&batch).and_then(|()| to.flush()).is_err() {
            written.failed += lines;
        }
        written.lines += lines;
        progress.send_replace(written);
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
        match self.writer.lines.try_send(std::mem::take(&mut self.text)) {
            Ok(()) => {
                self.writer.handed_over.fetch_add(1, Ordering::SeqCst);
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.writer.lost.fetch_add(1, Ordering::SeqCst);
            }
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

    /// Writes nothing until it is told to.
    struct Stalled(std::sync::mpsc::Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
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

    #[tokio::test(start_paused = true)]
    async fn a_stalled_reader_holds_up_nobody_for_longer_than_the_bound() {
        let (go_on, stalled) = std::sync::mpsc::channel();
        let writer = LogWriter::start(Stalled(stalled)).unwrap();
        assert!(!writer.written(|| line(&writer, "a\n")).await);
        for _ in 0..2 * WAITING {
            line(&writer, "b\n"); // more than there is room for: none of them waits
        }
        assert!(writer.lost.load(Ordering::SeqCst) > 0);
        drop(go_on);
        tokio::time::resume();
        let mut written = writer.written.clone();
        let all = writer.handed_over.load(Ordering::SeqCst);
        written.wait_for(|written| written.lines >= all).await.unwrap();
        assert!(writer.written(|| line(&writer, "c\n")).await);
    }
}

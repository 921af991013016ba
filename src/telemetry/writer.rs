//! Writes the log, by a thread of its own where a reader of the log could stall the one who writes. So a reader does not stall the
//! service.
//!
//! A caller who needs to know that something was written asks with [`LogWriter::written`]; that goes through the room of the
//! audit's records. Everything else is a line, which is lost where there is no room: see [`Queue`].

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use tokio::sync::oneshot;
use tracing_subscriber::fmt::MakeWriter;

use super::outlet::{Outlet, Receipts, Sink, Written};
use super::priority::lower_priority;
use super::queue::Queue;

/// How long a caller waits until its record is written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The sending side of the log. The thread ends when the last clone is dropped.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Open>);

/// The outlet of a thread that writes. It is closed when this is dropped.
struct Open(Arc<Outlet<Stream>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.queue().close();
    }
}

impl LogWriter {
    /// Starts the thread. It calls `report`, which logs a line, with the number of lines that were lost, once there is room
    /// again.
    pub(super) fn start(
        to: impl Target + 'static,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let outlet = Arc::new(Outlet::new(Stream { to: Box::new(to), torn: false }));
        let thread = std::thread::Builder::new().name("log".into());
        let open = Self(Arc::new(Open(outlet.clone())));
        thread.spawn(move || write_all(&outlet, report))?;
        Ok(open)
    }

    /// Calls `event`, which logs the record of an owner. The receiver is told whether that was written. `None`: there is no room.
    /// The caller calls [`Self::write_waiting`] or [`Self::wake`] after that.
    pub(super) fn add(&self, owner: &str, event: impl FnOnce()) -> Option<oneshot::Receiver<bool>> {
        self.outlet().queue().add_record(owner, collect(event))
    }

    /// See [`Outlet::write_waiting`].
    pub(super) fn write_waiting(&self) -> Receipts {
        self.outlet().write_waiting()
    }

    /// Leaves the records that wait to the log's thread.
    pub(super) fn wake(&self) {
        self.outlet().queue().wake_writer();
    }

    /// Calls `event`, which logs the record of an owner, and waits until it is written, for at most 5
    /// seconds. False: it may not have been written.
    pub(super) async fn written(&self, owner: &str, event: impl FnOnce()) -> bool {
        let Some(written) = self.add(owner, event) else { return false };
        self.wake();
        matches!(tokio::time::timeout(WRITE_TIMEOUT, written).await, Ok(Ok(true)))
    }

    /// Calls `event`, which logs a line. False: there was no room for it. It is not counted as lost then.
    pub(super) fn offer(&self, event: impl FnOnce()) -> bool {
        self.outlet().queue().add_lines(collect(event))
    }

    /// Waits until nothing waits to be written, for at most 5 seconds.
    pub(super) async fn flush(&self) {
        let _ = tokio::time::timeout(WRITE_TIMEOUT, self.outlet().queue().flushed()).await;
    }

    fn outlet(&self) -> &Outlet<Stream> {
        &self.0.0
    }
}

/// What the log is written to.
pub(super) trait Target: Write + Send {
    /// See [`Sink::room`].
    fn room(&self) -> usize;
}

/// The log as it goes out.
struct Stream {
    to: Box<dyn Target>,
    /// Whether the last write failed. It may have ended within a line.
    torn: bool,
}

impl Sink for Stream {
    fn room(&self) -> usize {
        self.to.room()
    }

    fn write(&mut self, text: &[u8]) -> Written {
        let end_of_torn: &[u8] = if self.torn { b"\n" } else { b"" };
        let written = [end_of_torn, text].iter().try_for_each(|text| self.to.write_all(text));
        self.torn = written.and_then(|()| self.to.flush()).is_err();
        Written { is_whole: !self.torn, is_due: false }
    }
}

/// The thread: writes what is queued, until the queue is closed.
fn write_all(outlet: &Outlet<Stream>, report: impl Fn(u64)) {
    lower_priority();
    let queue = outlet.queue();
    while let Some(batch) = queue.next_batch() {
        let mut stream = outlet.sink();
        let written = stream.write(&batch.text).is_whole;
        for record in batch.records {
            let _ = record.send(written); // the caller may have stopped waiting
        }
        if !written {
            queue.lose(batch.lines);
            continue;
        }
        let lost = queue.take_lost();
        if lost > 0 && !stream.write(&collect(|| report(lost))).is_whole {
            queue.lose(lost);
        }
    }
}

/// Standard error.
pub(super) struct StandardError {
    /// Whether it is a file: it takes everything, and has no reader.
    is_file: bool,
    /// Whether it is a pipe or a socket. They tell when they have room.
    is_channel: bool,
}

/// How many bytes a pipe or a socket takes that says that it has room: a page, less the line feed after a line that is torn.
const CHANNEL_ROOM: usize = (4 << 10) - 1;

impl StandardError {
    /// The standard error of this process.
    pub(super) fn new() -> Self {
        let kind = fstat(io::stderr()).ok().map(|stat| FileType::from_raw_mode(stat.st_mode));
        Self {
            is_file: matches!(kind, Some(FileType::RegularFile)),
            is_channel: matches!(kind, Some(FileType::Fifo | FileType::Socket)),
        }
    }
}

impl Target for StandardError {
    fn room(&self) -> usize {
        if self.is_file {
            return usize::MAX;
        }
        let stderr = io::stderr();
        let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
        let has_room = self.is_channel
            && poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
            && polled.iter().all(|polled| polled.revents() == PollFlags::OUT);
        if has_room { CHANNEL_ROOM } else { 0 }
    }
}

impl Write for StandardError {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        io::stderr().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

thread_local! {
    /// The lines that this thread collects instead of queueing them.
    static COLLECTED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Calls `event`, and returns what it logs.
fn collect(event: impl FnOnce()) -> Vec<u8> {
    /// Ends the collection if `event` panics, too.
    struct Collecting;

    impl Drop for Collecting {
        fn drop(&mut self) {
            COLLECTED.take();
        }
    }

    COLLECTED.set(Some(Vec::new()));
    let _collecting = Collecting;
    event();
    COLLECTED.take().unwrap_or_default()
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: self.outlet().queue(), text: Vec::new() }
    }
}

/// A line of the log, collected or put into the queue when it is dropped.
pub(super) struct Line<'a> {
    queue: &'a Queue,
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
        let mut text = std::mem::take(&mut self.text);
        let collected = COLLECTED.with_borrow_mut(|collected| match collected {
            Some(collected) => {
                collected.append(&mut text);
                true
            }
            None => false,
        });
        if !collected && !self.queue.add_lines(text) {
            self.queue.lose(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::super::queue::LINE_ROOM;
    use super::*;

    /// A target whose reader is always there.
    struct Read<T>(T);

    impl<T: Write> Write for Read<T> {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    impl<T: Write + Send> Target for Read<T> {
        fn room(&self) -> usize {
            usize::MAX
        }
    }

    fn start(to: impl Write + Send + 'static) -> LogWriter {
        LogWriter::start(Read(to), |_| ()).unwrap()
    }

    fn line(writer: &LogWriter, text: &str) {
        writer.make_writer().write_all(text.as_bytes()).unwrap();
    }

    async fn written(writer: &LogWriter, text: &str) -> bool {
        writer.written("owner", || line(writer, text)).await
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

    /// Reports what it was asked to write, and blocks until it is told to go on.
    struct Stalled {
        asked: Sender<Vec<u8>>,
        go_on: Receiver<()>,
    }

    impl Stalled {
        fn new() -> (Self, Receiver<Vec<u8>>, Sender<()>) {
            let (go_on, told) = mpsc::channel();
            let (asked, stalled) = mpsc::channel();
            (Self { asked, go_on: told }, stalled, go_on)
        }
    }

    impl Write for Stalled {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.asked.send(text.to_vec());
            let _ = self.go_on.recv();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_written_record_is_reported_as_written() {
        let writer = start(io::sink());
        for _ in 0..100 {
            assert!(written(&writer, "a\n").await);
        }
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_written_is_reported() {
        let writer = start(Broken);
        assert!(!written(&writer, "a\n").await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_caller_takes_the_record_of_another_for_its_own() {
        let writer = start(Broken);
        let tries = (0..64).map(|_| {
            let writer = writer.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    assert!(!written(&writer, "a\n").await);
                }
            })
        });
        for tried in tries.collect::<Vec<_>>() {
            tried.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_reader_delays_no_caller_beyond_the_timeout() {
        let (to, stalled, go_on) = Stalled::new();
        let writer = start(to);
        assert!(!written(&writer, "a\n").await);
        assert_eq!(stalled.recv().unwrap(), b"a\n"); // from here on the thread takes nothing from the queue
        for _ in 0..LINE_ROOM / 2 {
            line(&writer, "bbb\n"); // more than there is room for: no call waits
        }
        assert!(!writer.offer(|| line(&writer, "cc\n")), "there is no room for another line");
        drop(go_on);
        tokio::time::resume();
        // Once the thread goes on, records are written again.
        assert!(written(&writer, "d\n").await);
    }

    #[tokio::test]
    async fn a_record_overtakes_the_lines_that_wait() {
        let (to, stalled, go_on) = Stalled::new();
        let writer = start(to);
        line(&writer, "first\n");
        assert_eq!(stalled.recv().unwrap(), b"first\n");
        for _ in 0..10_000 {
            line(&writer, "line\n");
        }
        let other = writer.clone();
        let record = tokio::spawn(async move { written(&other, "record\n").await });
        tokio::task::yield_now().await; // until the record waits
        go_on.send(()).unwrap();
        let next = stalled.recv().unwrap();
        assert!(next.starts_with(b"record\n") && next.len() < 5000, "{} bytes", next.len());
        assert!(!record.is_finished(), "the record is not written before it is");
        go_on.send(()).unwrap();
        assert!(record.await.unwrap());
    }

    #[tokio::test]
    async fn lines_that_were_lost_are_counted_and_the_count_is_logged() {
        let (to, stalled, go_on) = Stalled::new();
        let lost = Arc::<Mutex<Vec<u64>>>::default();
        let reported = lost.clone();
        let writer = LogWriter::start(Read(to), move |lines| reported.lock().unwrap().push(lines)).unwrap();
        line(&writer, "first\n");
        stalled.recv().unwrap();
        let large = "b".repeat(1 << 20);
        for _ in 0..10 {
            line(&writer, &large); // four find room
        }
        drop(go_on);
        writer.flush().await;
        assert_eq!(*lost.lock().unwrap(), [6]);
    }

    #[tokio::test]
    async fn what_is_flushed_is_written() {
        let (asked, written) = mpsc::channel();
        let (go_on, told) = mpsc::channel();
        drop(go_on);
        let writer = start(Stalled { asked, go_on: told });
        for _ in 0..10_000 {
            line(&writer, "line\n");
        }
        writer.flush().await;
        assert_eq!(written.try_iter().map(|text| text.len()).sum::<usize>(), 50_000);
    }
}

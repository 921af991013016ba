//! Keeps the output of a process while it runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::harness::PATIENCE;

/// What happens when a line reports a panic.
#[derive(Clone, Copy, PartialEq)]
pub enum OnPanic {
    Record,
    EndTheTests,
}

/// The lines that a process has written to one of its outputs until now.
pub struct Capture(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    text: String,
    ended: bool,
}

impl Capture {
    pub fn of(stream: impl Read + Send + 'static, on_panic: OnPanic) -> Self {
        let capture = Self(Arc::default());
        let shared = Arc::clone(&capture.0);
        thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line);
                if on_panic == OnPanic::EndTheTests && text.contains("panicked at") {
                    // A panic of the server is always a defect, so it ends the tests. The message is written past the
                    // test harness, which would capture it.
                    let _ = write!(std::io::stderr(), "\nthe server panicked: {text}");
                    std::process::exit(101);
                }
                lock(&shared.0).text.push_str(&text);
                shared.1.notify_all();
                line.clear();
            }
            lock(&shared.0).ended = true;
            shared.1.notify_all();
        });
        capture
    }

    pub fn text(&self) -> String {
        lock(&self.0.0).text.clone()
    }

    /// Waits for the first line for which `pick` returns something, and returns that. `None` if the output ends first, or
    /// time runs out.
    pub fn wait_for<T>(&self, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.wait(|written| {
            let complete = written.text.rfind('\n').map_or("", |end| &written.text[..end]);
            let picked = complete.lines().find_map(&pick);
            if picked.is_none() && written.ended { Some(None) } else { picked.map(Some) }
        })?
    }

    /// Waits until so many lines have this text; `false` where they do not come.
    pub fn wait_for_lines(&self, count: usize, with: &str) -> bool {
        let enough =
            |written: &Written| written.text.lines().filter(|line| line.contains(with)).count() >= count;
        self.wait(|written| enough(written).then_some(())).is_some()
    }

    pub fn wait_for_end(&self) -> bool {
        self.wait(|written| written.ended.then_some(())).is_some()
    }

    fn wait<T>(&self, mut check: impl FnMut(&Written) -> Option<T>) -> Option<T> {
        let (written, changed) = &*self.0;
        let deadline = Instant::now() + PATIENCE;
        let mut written = lock(written);
        loop {
            if let Some(found) = check(&written) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            written = changed.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A stream that is read in portions, each of which has to be received first. After the last one it is read as usual.
pub struct Rationed<R> {
    stream: R,
    portions: mpsc::Receiver<usize>,
    left: usize,
}

impl<R> Rationed<R> {
    pub fn new(stream: R, portions: mpsc::Receiver<usize>) -> Self {
        Self { stream, portions, left: 0 }
    }
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            self.left = self.portions.blocking_recv().unwrap_or(usize::MAX);
        }
        let most = into.len().min(self.left);
        let read = self.stream.read(&mut into[..most])?;
        self.left -= read;
        Ok(read)
    }
}

fn lock(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

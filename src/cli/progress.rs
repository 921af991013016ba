use std::io::{IsTerminal, Write};

/// How far long work has come, on standard error where that is a terminal.
pub(super) struct Progress {
    what: &'static str,
    done: u64,
    of: u64,
    shown: bool,
}

/// How long a bar is, in characters.
const BAR: u64 = 24;

impl Progress {
    pub(super) fn new(what: &'static str, of: usize) -> Self {
        let of = u64::try_from(of).unwrap_or(u64::MAX);
        let progress = Self { what, done: 0, of, shown: std::io::stderr().is_terminal() };
        progress.show();
        progress
    }

    pub(super) fn advance(&mut self) {
        self.set(self.what, self.done + 1, self.of);
    }

    /// Says what is being done now, and how much of it is done.
    pub(super) fn set(&mut self, what: &'static str, done: u64, of: u64) {
        let moved = (what, bar(done, of)) != (self.what, bar(self.done, self.of)) || self.of < 10_000;
        (self.what, self.done, self.of) = (what, done, of);
        // A terminal is slower than the work is.
        if moved || done == of {
            self.show();
        }
    }

    fn show(&self) {
        if self.shown {
            let filled = bar(self.done, self.of);
            let bar: String = (0..BAR).map(|at| if at < filled { '█' } else { '░' }).collect();
            let mut stderr = std::io::stderr().lock();
            // Nothing is lost where it can not be shown.
            let _ = write!(stderr, "\r\x1b[K{bar} {} {} of {}", self.what, self.done, self.of);
            let _ = stderr.flush();
        }
    }
}

/// How much of a bar is filled.
fn bar(done: u64, of: u64) -> u64 {
    done.saturating_mul(BAR).checked_div(of).unwrap_or(0).min(BAR)
}

/// Leaves the line as it was.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

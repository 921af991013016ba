use std::io::{IsTerminal, Write};

/// How far long work has come, on standard error where that is a terminal.
pub(super) struct Progress {
    what: &'static str,
    done: usize,
    of: usize,
    shown: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str, of: usize) -> Self {
        let progress = Self { what, done: 0, of, shown: std::io::stderr().is_terminal() };
        progress.show();
        progress
    }

    pub(super) fn advance(&mut self) {
        self.done += 1;
        self.show();
    }

    fn show(&self) {
        if self.shown {
            let mut stderr = std::io::stderr().lock();
            // Nothing is lost where it can not be shown.
            let _ = write!(stderr, "\r{} {} of {}", self.what, self.done, self.of);
            let _ = stderr.flush();
        }
    }
}

/// Leaves the line as it was.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

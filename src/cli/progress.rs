//! The progress of long work: a bar on standard error if that is a terminal, nothing elsewhere.

use std::io::{IsTerminal, Write};

/// A progress bar. It disappears when it is dropped.
pub(super) struct Progress {
    /// The unit, such as `records`.
    unit: &'static str,
    done: u64,
    of: u64,
    shown: bool,
}

/// The length of a bar in characters.
const BAR: u64 = 24;

impl Progress {
    pub(super) fn new(unit: &'static str, of: usize) -> Self {
        let of = u64::try_from(of).unwrap_or(u64::MAX);
        let progress = Self { unit, done: 0, of, shown: std::io::stderr().is_terminal() };
        progress.show();
        progress
    }

    pub(super) fn advance(&mut self) {
        self.set(self.unit, self.done + 1, self.of);
    }

    /// Shows that `done` of `of` units are done.
    pub(super) fn set(&mut self, unit: &'static str, done: u64, of: u64) {
        let moved = (unit, bar(done, of)) != (self.unit, bar(self.done, self.of)) || self.of < 10_000;
        (self.unit, self.done, self.of) = (unit, done, of);
        // A terminal is slower than the work, so most steps are not shown.
        if moved || done == of {
            self.show();
        }
    }

    fn show(&self) {
        if self.shown {
            let filled = bar(self.done, self.of);
            let bar: String = (0..BAR).map(|at| if at < filled { '█' } else { '░' }).collect();
            let mut stderr = std::io::stderr().lock();
            // The work goes on if its progress cannot be shown.
            let _ = write!(stderr, "\r\x1b[K{bar} {} {} of {}", self.unit, self.done, self.of);
            let _ = stderr.flush();
        }
    }
}

/// The filled part of a bar, in characters.
fn bar(done: u64, of: u64) -> u64 {
    done.saturating_mul(BAR).checked_div(of).unwrap_or(0).min(BAR)
}

/// Clears the line.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

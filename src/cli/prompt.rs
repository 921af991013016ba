//! The hidden prompt. The terminal echoes again whatever signal ends the process while it asks.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::thread;

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::failure::Failure;

/// The exit code of shells for a command that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Whether there is a terminal that can be asked.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line that is not shown.
pub(super) fn hidden(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error| Failure::local(format!("the terminal cannot be asked: {error}"));
    static GUARDED: OnceLock<()> = OnceLock::new();
    if GUARDED.get().is_none() {
        restore_at_signals().map_err(failed)?;
        let _ = GUARDED.set(());
    }
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| match error.kind() {
        // Ctrl-C is a character to the prompt. It ends the command as the signal does.
        io::ErrorKind::Interrupted => Failure::ended(INTERRUPTED),
        _ => failed(error),
    })
}

/// From now on, a signal that would end the process ends it after the terminal is as it was. A thread waits for the signals,
/// because the one that asks is blocked.
fn restore_at_signals() -> io::Result<()> {
    let terminal = File::open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let [mut hangup, mut interrupt, mut quit, mut terminate] = {
        let _within = runtime.enter();
        [
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::quit())?,
            signal(SignalKind::terminate())?,
        ]
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let received = runtime.block_on(async {
            tokio::select! {
                _ = hangup.recv() => SignalKind::hangup(),
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = quit.recv() => SignalKind::quit(),
                _ = terminate.recv() => SignalKind::terminate(),
            }
        });
        // A terminal that has gone needs nothing.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
        let _ = writeln!(io::stderr());
        std::process::exit(128 + received.as_raw_value());
    })?;
    Ok(())
}

//! The question before a command destroys or reveals many things.
//!
//! Only a terminal can answer. Without one the command must be given `--yes`.

use std::io::{BufRead, IsTerminal, Write};

use super::connect::Connection;
use super::failure::Failure;
use super::output;

/// Asks the question on the terminal; fails unless the answer is yes. `unasked` is the error if there is no terminal,
/// `refused` the error after a no.
pub(super) fn agreed(unasked: &str, question: &str, refused: &str) -> Result<(), Failure> {
    can_be_asked(unasked)?;
    let failed = |error| Failure::local(format!("the question cannot be asked: {error}"));
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::local(refused)),
    }
}

/// Fails with `unasked` if standard input is not a terminal.
pub(super) fn can_be_asked(unasked: &str) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() { Ok(()) } else { Err(Failure::usage(unasked)) }
}

/// The flags of a command that takes access away.
#[derive(clap::Args)]
pub(super) struct Caution {
    /// Say who would lose which rights, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl Caution {
    /// Asks whether to make this change, such as "revoke the API key x", unless `--yes` was given.
    pub(super) fn agreed(&self, connection: &Connection, change: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        let settings = connection.settings()?;
        agreed(
            "this takes access away: give --yes, or use a terminal, which asks first. --dry-run says what would change",
            &format!("This will {} in {}. Continue?", output::printable(change), settings.address()),
            "nothing was changed",
        )
    }
}

//! The question before a command destroys or reveals many things.
//!
//! Only a terminal can answer. Without one the command must be given `--yes`.

use std::io::{BufRead, IsTerminal, Write};

use super::failure::Failure;

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

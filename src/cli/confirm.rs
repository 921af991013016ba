use std::io::{BufRead, IsTerminal, Write};

use super::failure::Failure;

/// Asks on the terminal, and goes on only after a yes. Where nobody can be asked, `unasked` says what to do instead; after
/// a no, `refused` says what was left undone.
pub(super) fn agreed(unasked: &str, question: &str, refused: &str) -> Result<(), Failure> {
    can_be_asked(unasked)?;
    let failed = |error| Failure::local(format!("you can not be asked: {error}"));
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::local(refused)),
    }
}

/// Fails where nobody can be asked: standard input is no terminal.
pub(super) fn can_be_asked(unasked: &str) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() { Ok(()) } else { Err(Failure::usage(unasked)) }
}

//! Standard output: tables for people, JSON for programs.
//!
//! Text of others, such as a description, is shown by [`printable`], so that it cannot control the terminal.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::builder::{EnumValueParser, PathBufValueParser, TypedValueParser};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value as Json;

use super::failure::Failure;

/// The form of the output.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// A table for people
    Table,
    /// JSON for programs
    Json,
}

/// The argument of `-o`: a form for most commands, a file for commands that write a file.
#[derive(Clone)]
pub(super) enum Target {
    Form(Output),
    File(PathBuf),
}

impl Target {
    /// Reads a form from an argument.
    pub(super) fn form() -> impl TypedValueParser<Value = Self> {
        EnumValueParser::<Output>::new().map(Self::Form)
    }

    /// Reads a file's name from an argument.
    pub(super) fn file() -> impl TypedValueParser<Value = Self> {
        PathBufValueParser::new().map(Self::File)
    }
}

impl Output {
    /// The given form; without one, a table on a terminal and JSON elsewhere.
    pub(super) fn or_default(asked: Option<Self>) -> Self {
        let terminal = std::io::stdout().is_terminal();
        asked.unwrap_or(if terminal { Self::Table } else { Self::Json })
    }

    /// Prints one thing: its fields as lines, without the empty ones, or the JSON object.
    pub(super) fn print(self, fields: &[(&str, String)], json: &Json) -> Result<(), Failure> {
        match self {
            Self::Json => print_json(json),
            Self::Table => {
                let width = fields.iter().map(|(field, _)| field.len()).max().unwrap_or(0);
                let shown = fields.iter().filter(|(_, text)| !text.is_empty());
                let lines = shown.map(|(field, text)| format!("{field:width$}  {}\n", printable(text)));
                write(lines.collect::<String>().as_bytes())
            }
        }
    }

    /// Prints many things: as the rows of a table, or the JSON object.
    pub(super) fn print_all(
        self,
        header: &[&str],
        rows: Vec<Vec<String>>,
        json: &Json,
    ) -> Result<(), Failure> {
        if self == Self::Json {
            return print_json(json);
        }
        if rows.is_empty() {
            return write(b"None.\n");
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if std::io::stdout().is_terminal() {
            // Long cells are broken so that a row stays a row.
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        table.set_header(header.iter().map(|title| title.to_uppercase()));
        for row in rows {
            table.add_row(row.iter().map(|text| printable(text)));
        }
        write(format!("{}\n", table.trim_fmt()).as_bytes())
    }
}

/// Writes bytes to standard output. It is a failure if the reader closed it.
pub(super) fn write_all(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::local(format!("standard output cannot be written: {error}")))
}

/// Writes bytes to standard output. It is no failure if the reader, such as `head`, closed it.
pub(super) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::local(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

fn print_json(json: &Json) -> Result<(), Failure> {
    write(format!("{json:#}\n").as_bytes())
}

/// The text with its control characters, and the characters that change the direction of writing (Unicode UAX 9), written
/// as escapes. So it can neither control a terminal nor appear in another order.
pub(super) fn printable(text: &str) -> String {
    let controls = |c: char| {
        c.is_control()
            || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().flat_map(|c| if controls(c) { c.escape_unicode().collect() } else { vec![c] }).collect()
}

/// A time in RFC 3339; empty if there is none.
pub(super) fn time(at: Option<&prost_types::Timestamp>) -> String {
    at.map(ToString::to_string).unwrap_or_default()
}

/// A time in RFC 3339 without fractions of a second, for tables; empty if there is none.
pub(super) fn time_in_brief(at: Option<&prost_types::Timestamp>) -> String {
    time(at.map(|at| prost_types::Timestamp { seconds: at.seconds, nanos: 0 }).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_other_characters_stay() {
        assert_eq!(printable("a\u{1b}[2J\u{202e}b\n"), r"a\u{1b}[2J\u{202e}b\u{a}");
        assert_eq!(printable("é 🐎 שלום"), "é 🐎 שלום");
    }
}

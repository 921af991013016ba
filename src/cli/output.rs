//! Standard output: tables for people, JSON for programs.
//!
//! Text of others, such as a description, is shown by [`printable`], so that it cannot control the terminal.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::builder::{EnumValueParser, PathBufValueParser, TypedValueParser};
use comfy_table::{Table, presets};
use serde_json::Value as Json;

use super::columns;
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
            Self::Table => write(self::fields(fields).as_bytes()),
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
        let rows: Vec<Vec<_>> =
            rows.iter().map(|row| row.iter().map(|text| printable(text)).collect()).collect();
        // There is none if standard output is no terminal.
        let width = Table::new().width();
        write(table(header, &rows, width).as_bytes())
    }
}

/// A table as text, for a terminal of this width if one is given.
pub(super) fn table(header: &[&str], rows: &[Vec<String>], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(|title| title.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    columns::arrange(&mut table, header, rows, width);
    format!("{}\n", table.trim_fmt())
}

/// Writes bytes to standard output. It is a failure if the reader closed it.
pub(super) fn write_all(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::local(format!("standard output cannot be written: {error}")))
}

/// Fields as lines, without the empty ones.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let shown = || fields.iter().filter(|(_, text)| !text.is_empty());
    let width = shown().map(|(field, _)| field.len()).max().unwrap_or(0);
    shown().map(|(field, text)| format!("{field:width$}  {}\n", printable(text))).collect()
}

/// Writes bytes to standard output. Returns whether there is still a reader: `head`, for example, closes it early.
pub(super) fn written(bytes: &[u8]) -> Result<bool, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::local(format!("standard output cannot be written: {error}"))),
    }
}

/// Writes bytes to standard output. It is no failure if the reader, such as `head`, closed it.
pub(super) fn write(bytes: &[u8]) -> Result<(), Failure> {
    written(bytes).map(drop)
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

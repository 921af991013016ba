use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::builder::{EnumValueParser, PathBufValueParser, TypedValueParser};
use comfy_table::{Table, presets};
use serde_json::Value as Json;

use super::failure::Failure;

/// The form of what is printed.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

/// What `-o` names: a form for most commands, a file for those that write one.
#[derive(Clone)]
pub(super) enum Target {
    Form(Output),
    File(PathBuf),
}

impl Target {
    /// Reads a form.
    pub(super) fn form() -> impl TypedValueParser<Value = Self> {
        EnumValueParser::<Output>::new().map(Self::Form)
    }

    /// Reads a file's name.
    pub(super) fn file() -> impl TypedValueParser<Value = Self> {
        PathBufValueParser::new().map(Self::File)
    }
}

impl Output {
    /// The form asked for, else a table on a terminal and JSON elsewhere.
    pub(super) fn or_default(asked: Option<Self>) -> Self {
        let terminal = std::io::stdout().is_terminal();
        asked.unwrap_or(if terminal { Self::Table } else { Self::Json })
    }

    /// Prints one thing: its fields below each other, or as an object.
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

    /// Prints many things: a row for each, or as an object that holds them.
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
        table.set_header(header.iter().map(|title| title.to_uppercase()));
        for row in rows {
            table.add_row(row.iter().map(|text| printable(text)));
        }
        write(format!("{}\n", table.trim_fmt()).as_bytes())
    }
}

/// Writes bytes to standard output. A reader that has gone, such as `head`, has had what it wanted.
pub(super) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::local(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn print_json(json: &Json) -> Result<(), Failure> {
    write(format!("{json:#}\n").as_bytes())
}

/// Text that can not steer a terminal, nor show itself in another order than it has: control characters, and those that
/// turn the direction of writing (Unicode UAX 9), are shown, not sent.
pub(super) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().flat_map(|c| if steers(c) { c.escape_unicode().collect() } else { vec![c] }).collect()
}

/// A time as RFC 3339 has it; empty where there is none.
pub(super) fn time(at: Option<&prost_types::Timestamp>) -> String {
    at.map(ToString::to_string).unwrap_or_default()
}

/// A time to the second, for the columns of a table.
pub(super) fn time_in_brief(at: Option<&prost_types::Timestamp>) -> String {
    time(at.map(|at| prost_types::Timestamp { seconds: at.seconds, nanos: 0 }).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_all_else_stays() {
        assert_eq!(printable("a\u{1b}[2J\u{202e}b\n"), r"a\u{1b}[2J\u{202e}b\u{a}");
        assert_eq!(printable("é 🐎 שלום"), "é 🐎 שלום");
    }
}

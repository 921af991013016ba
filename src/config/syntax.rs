//! What is wrong with a configuration file: where, and why, without any text of the file, which can hold credentials.

use std::fmt;

/// The place of a problem in a configuration file, and its reason.
#[derive(Debug)]
pub struct SyntaxProblem {
    /// The line and the column, from 1.
    place: Option<(usize, usize)>,
    reason: String,
}

impl SyntaxProblem {
    /// The problem that the parser found in this text.
    pub(super) fn of(text: &str, error: &toml::de::Error) -> Self {
        let place = error.span().map(|span| {
            let before = text.get(..span.start).unwrap_or_default();
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            (before.matches('\n').count() + 1, column)
        });
        Self { place, reason: without_values(error.message()) }
    }
}

impl fmt::Display for SyntaxProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// The parser's message without what it quotes of values. The names of settings stay.
fn without_values(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    let named =
        ["unknown field", "missing field", "duplicate field"].iter().any(|kind| message.starts_with(kind));
    if named {
        // Each setting has two spellings, and one of them is enough to name it.
        let (what, expected) = message.split_once(", expected one of ").unwrap_or((message, ""));
        let names: Vec<_> = expected.split(", ").filter(|name| !name.contains('-')).collect();
        return if expected.is_empty() {
            what.to_owned()
        } else {
            format!("{what}, expected one of {}", names.join(", "))
        };
    }
    match message.split_once(", expected ") {
        // Such as: invalid type: string "…", expected a boolean
        Some((what, expected)) => {
            let kind = what.split([':', '`', '"', '\'']).next().unwrap_or_default().trim_end();
            format!("{kind}, expected {}", in_words(expected))
        }
        None if message == "invalid socket address syntax" => format!("expected {ADDRESS}"),
        None if message.contains(['`', '"']) => "this is not valid here".to_owned(),
        None => message.to_owned(),
    }
}

const ADDRESS: &str = "an IP address and a port, such as '127.0.0.1:50051'";
const SIZE: &str = "a size, such as '64 MiB'";

/// What the parser expected, in the words of the pages and not in those of Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" => "a whole number, such as 100",
        "a nonzero u32" => "a whole number from 1 on, such as 100",
        "f64" | "f32" => "a number, such as 0.5",
        "path string" => "a string",
        "socket address" => ADDRESS,
        // Of a size.
        "an integer or string" | "parsable string" | "integer overflow" => SIZE,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    #[test]
    fn the_place_and_the_reason_are_told_and_no_value() {
        for (text, told) in [
            (
                "listen = '127.0.0.1:1'\nmaster_key_command = ['hidden']",
                "line 2, column 22: invalid type, expected a string",
            ),
            (
                "store = 'hidden'",
                "line 1, column 9: unknown variant, expected one of `sled`, `etcd`, `memory`",
            ),
            (
                "listen = 'hidden'",
                "line 1, column 10: expected an IP address and a port, such as '127.0.0.1:50051'",
            ),
            (
                "listen = 50051",
                "line 1, column 10: invalid type, expected an IP address and a port, such as '127.0.0.1:50051'",
            ),
            ("data_dir = 5", "line 1, column 12: invalid type, expected a string"),
            (
                "otlp_sample_ratio = 'hidden'",
                "line 1, column 21: invalid type, expected a number, such as 0.5",
            ),
            (
                "[limits]\nconnections = 'hidden'",
                "line 2, column 15: invalid type, expected a whole number, such as 100",
            ),
            (
                "[limits]\nconnections = -1",
                "line 2, column 15: invalid value, expected a whole number, such as 100",
            ),
            (
                "[limits]\nrequests_per_second = 0",
                "line 2, column 23: invalid value, expected a whole number from 1 on, such as 100",
            ),
            (
                "[limits]\nmemory = 'hidden'",
                "line 2, column 10: invalid value, expected a size, such as '64 MiB'",
            ),
            (
                "[audit]\nmax_size = true",
                "line 2, column 12: invalid type, expected a size, such as '64 MiB'",
            ),
            (
                "[history]\nmax_events = 'hidden'",
                "line 2, column 14: invalid type, expected a whole number, such as 100",
            ),
            ("insecure_plaintext = 'hidden'", "line 1, column 22: invalid type, expected a boolean"),
            ("max_connection_age = 'hidden'", "line 1, column 22: "),
            ("lisen = 'hidden'", "line 1, column 1: unknown field `lisen`, expected one of"),
            ("etcd_user = 'hidden", "line 1, column "),
            ("hidden", "line 1, column "),
            ("a = 1\nhidden hidden", "line 2, column "),
            ("[limits]\nhidden = hidden", "line 2, column "),
            ("data_dir = 'a'\ndata_dir = 'hidden'", "line 2, column 1: "),
        ] {
            let error = toml::from_str::<Settings>(text).unwrap_err();
            let said = SyntaxProblem::of(text, &error).to_string();
            assert!(said.starts_with(told), "{text}: {said}");
            assert!(!said.contains("hidden"), "{said}");
        }
    }

    #[test]
    fn hyphens_and_underscores_are_the_same() {
        let settings: Settings = toml::from_str(
            "data-dir = 'd'\ninsecure-plaintext = true\nmax-connection-age = '1h'\n[audit]\nfile-age = '1h'",
        )
        .unwrap();
        assert_eq!(settings.data_dir, Some("d".into()));
        assert_eq!(settings.insecure_plaintext, Some(true));
        assert!(settings.max_connection_age.is_some() && settings.audit.is_some());
    }
}
